import { rest } from '../flow/loop.ts';
import { Pauses } from '../flow/retry.ts';
import type { Logger } from '../observability/log.ts';
import { DatabaseClient, type DatabaseUrl } from './client.ts';

/** Told at each commit of jobs that no queue is told of. */
export const OUTBOX_CHANNEL = 'smtp_relay_outbox';

export interface NotificationOptions {
  readonly databaseUrl: DatabaseUrl;
  /** A plain identifier. */
  readonly channel: string;
  /** Milliseconds. */
  readonly connectTimeout: number;
  /** Something was notified, or may have been while nobody listened. */
  readonly onNotification: () => void;
  readonly logger: Logger;
}

/** Milliseconds. */
const PAUSES = { first: 1_000, longest: 30_000 };

/** A pooler hands a session to others after each statement; its cancel keys show that the session is not ours. */
const IS_OWN_SESSION = 'select pg_backend_pid() = $1 as own';

/**
 * Listens on a connection of its own, and connects again when that is lost. Notifications are a help only: they may be
 * lost, and behind a pooler in transaction mode there are none, so whoever waits for them looks by himself too.
 *
 * @returns what ends it
 */
export function listenTo(options: NotificationOptions): { stop(): Promise<void> } {
  const stopped = new AbortController();
  const listening = listenForever(options, stopped.signal);
  return {
    stop: async () => {
      stopped.abort();
      await listening;
    },
  };
}

async function listenForever(options: NotificationOptions, stopped: AbortSignal): Promise<void> {
  const pauses = new Pauses(PAUSES);
  while (!stopped.aborted) {
    try {
      const listened = await listenOnce(options, stopped);
      if (!listened) {
        options.logger.info('a pooler is before the database: new jobs are looked for, not told of');
        return;
      }
      pauses.reset();
    } catch (error) {
      const what = 'not listening to the database; jobs are looked for meanwhile';
      options.logger.debug({ err: error, pauseMs: pauses.coming }, what);
    }
    await rest(pauses.next(), stopped);
  }
}

/** Resolves when the connection has ended, with false where nothing can be heard on it. Rejects where there is none. */
async function listenOnce(options: NotificationOptions, stopped: AbortSignal): Promise<boolean> {
  const client = new DatabaseClient(options.databaseUrl, {
    application_name: 'smtp-relay listen',
    connectionTimeoutMillis: options.connectTimeout,
    keepAlive: true,
    keepAliveInitialDelayMillis: 30_000,
  });
  // An error ends the connection; without this listener it would end the process.
  client.on('error', error => options.logger.debug({ err: error }, 'connection for notifications lost'));
  const ended = new Promise<void>(resolve => client.once('end', () => resolve()));
  const end = (): void => void client.end().catch(() => {});
  stopped.addEventListener('abort', end);
  try {
    await client.connect();
    const { processID } = client as unknown as { readonly processID: number | null };
    const { rows } = await client.query<{ own: boolean }>(IS_OWN_SESSION, [processID ?? 0]);
    if (!rows[0]?.own) return false;
    client.on('notification', options.onNotification);
    await client.query(`listen ${options.channel}`);
    options.onNotification();
    await ended;
    return true;
  } finally {
    stopped.removeEventListener('abort', end);
    await client.end().catch(() => {});
  }
}
