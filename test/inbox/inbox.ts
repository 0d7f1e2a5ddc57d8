import { type RequestOptions, request } from 'node:http';
import type { TestContext } from 'node:test';
import { type RelayOptions, startRelay, type TestRelay } from '../support/relay.ts';
import { emailIdOf, SmtpClient } from '../support/smtp-client.ts';
import { startWorker, type TestWorker, type WorkerOptions } from '../support/worker.ts';

export interface TestInbox {
  readonly relay: TestRelay;
  readonly worker: TestWorker;
  readonly url: string;
  /** Sends a message through the relay. @returns its id */
  send(message: SentMessage): Promise<string>;
  /** Asks the API, and reads the JSON of its answer. */
  ask<T>(path: string, init?: RequestInit): Promise<T>;
}

export interface SentMessage {
  /** Header and body, with CRLF. */
  readonly data: string;
  readonly to?: readonly string[];
}

export type InboxOptions = Pick<WorkerOptions, 'settings' | 'loadPages'> &
  Pick<RelayOptions, 'owner' | 'queue'> & {
    readonly relaySettings?: WorkerOptions['settings'];
  };

/** A relay and a worker with an inbox, on one database. */
export async function startInbox(t: TestContext, options: InboxOptions = {}): Promise<TestInbox> {
  const capture = { pipeline: 'standalone', transport: 'capture' };
  const { owner, queue = false } = options;
  const relaySettings = { ...capture, ...options.relaySettings };
  const relay = await startRelay(t, { queue, settings: relaySettings, ...(owner && { owner }) });
  const settings = { 'inbox.enabled': true, 'inbox.port': 0, ...options.settings };
  const { loadPages } = options;
  const jobs = { databaseUrl: relay.databaseUrl, queue: relay.queue };
  const worker = await startWorker(t, { ...jobs, settings, ...(loadPages && { loadPages }) });
  const url = `http://127.0.0.1:${worker.inboxPort}`;
  return {
    relay,
    worker,
    url,
    async send({ data, to = ['ada@example.com'] }) {
      const client = await SmtpClient.loggedIn(t, relay);
      return emailIdOf(await client.transact({ from: 'shop@acme.test', to: [...to], data }, '250 '));
    },
    async ask<T>(path: string, init?: RequestInit) {
      const response = await fetch(`${url}${path}`, init);
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
      return (response.status === 204 ? null : await response.json()) as T;
    },
  };
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** A request with whatever header fields: `fetch` does not let all be set. */
export function rawRequest(url: string, options: RequestOptions & { readonly body?: string } = {}): Promise<RawAnswer> {
  const { body, ...rest } = options;
  return new Promise((resolve, reject) => {
    const asked = request(url, rest, response => {
      const chunks: Buffer[] = [];
      response.on('data', chunk => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode = 0, headers } = response;
        resolve({ status: statusCode, headers, body: Buffer.concat(chunks).toString() });
      });
    });
    asked.on('error', reject);
    asked.end(body);
  });
}
