import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { type LiveConfig, loadLiveConfig } from '../config/live.ts';
import { createLogger, type Logger } from '../observability/log.ts';
import { startTracing } from '../observability/start-tracing.ts';
import type { Tracer } from '../observability/tracing.ts';
import { yieldToMainThread } from '../platform/helper-threads.ts';
import { type CliContext, examples } from './command.ts';

export function addRelayCommand(program: Command, context: CliContext): void {
  addServer(program, context, {
    name: 'relay',
    description: 'Accept messages by SMTP, store them and publish their send jobs; runs until SIGTERM or Ctrl-C',
    load: () => loadLiveConfig(context.env),
    onHangUp: 'SIGHUP: configuration and certificates are looked at again',
    create: async (live, parts) => (await import('../relay.ts')).createApp(live, parts),
  });
}

export function addWorkerCommand(program: Command, context: CliContext): void {
  addServer(program, context, {
    name: 'worker',
    description:
      'Deliver what the relay has accepted, with events, tracking and webhooks; runs until SIGTERM or Ctrl-C',
    load: () => loadLiveConfig(context.env, { checkTlsFiles: false }),
    onHangUp: 'SIGHUP: configuration is looked at again',
    create: async (live, parts) => (await import('../worker.ts')).createWorker(live, parts),
  });
}

interface ServerParts extends Pick<CliContext, 'loadPages'> {
  readonly logger: Logger;
  readonly tracer: Tracer;
}

/** A command that runs until it is told to end. */
interface Server {
  readonly name: 'relay' | 'worker';
  readonly description: string;
  readonly load: () => ReturnType<typeof loadLiveConfig>;
  /** Logged when the configuration is asked to be read again. */
  readonly onHangUp: string;
  /** Imports what makes it, so that the other commands start without its libraries. */
  readonly create: (live: LiveConfig, parts: ServerParts) => Promise<Runnable>;
}

function addServer(program: Command, context: CliContext, server: Server): void {
  const { name, description } = server;
  const command = program.command(name).description(description);
  command.action(async () => {
    const { live, warnings } = await server.load();
    const { logFormat: format, shutdownTimeout } = live.current;
    const logger = createLogger({ level: () => live.current.logLevel, format });
    context.surviveFaults(logger);
    const signal = context.takeSignals();
    context.onHangUp(() => {
      logger.info({ room: 'config' }, server.onHangUp);
      live.requestReload();
    });
    await yieldToMainThread();
    await using tracing = await startTracing({ env: context.env, role: name, logger });
    for (const warning of warnings) logger.warn({ room: 'config' }, warning);
    const running = await server.create(live, {
      logger,
      tracer: tracing.tracer,
      ...(context.loadPages && { loadPages: context.loadPages }),
    });
    await runUntilAborted(running, signal, () => live.current.drainDelay + shutdownTimeout + STOP_SLACK);
  });
  examples(command, name, `config check && smtp-relay ${name}`);
}

/** A process that is started once, runs, and is stopped once. */
interface Runnable {
  start(): Promise<unknown>;
  /** Rejects where it finds, later, that it must not go on. */
  readonly ended?: Promise<never>;
  stop(): Promise<void>;
}

/** How many milliseconds longer than messages under way all else may take to end. */
const STOP_SLACK = 3_000;

/**
 * Starts, waits for the signal, stops. A start that takes long does not hold up the stop.
 *
 * @param stopTimeout milliseconds that the stop may take, asked for when it begins
 * @throws what `start` or `stop` throws, what `ended` rejects with, or an Error where stopping takes too long
 */
export async function runUntilAborted(app: Runnable, signal: AbortSignal, stopTimeout: () => number): Promise<void> {
  try {
    await Promise.race([app.start(), aborted(signal)]);
    await Promise.race([aborted(signal), ...(app.ended ? [app.ended] : [])]);
  } finally {
    await stopWithin(app, stopTimeout());
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort');
}

async function stopWithin(app: Runnable, milliseconds: number): Promise<void> {
  const stopped = new AbortController();
  const late = async () => {
    await sleep(milliseconds, undefined, { signal: stopped.signal });
    throw new Error(`it did not stop within ${milliseconds} ms; what was not answered with 250 comes again`);
  };
  try {
    await Promise.race([app.stop(), late()]);
  } finally {
    stopped.abort();
  }
}
