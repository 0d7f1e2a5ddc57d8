import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import type pg from 'pg';
import { fixedConfig, type LiveConfig } from '../../src/config/live.ts';
import { assembleConfig, type Config, type SettingName } from '../../src/config/schema.ts';
import type { LoadPages } from '../../src/http/pages.ts';
import { createLogger } from '../../src/observability/log.ts';
import type { Tracer } from '../../src/observability/tracing.ts';
import { createWorker } from '../../src/worker.ts';
import { createDatabase } from './database.ts';
import { openPool } from './pool.ts';
import { sqsEnv, type TestQueue } from './queue.ts';
import type { LogLine, TestContext } from './relay.ts';

export interface WorkerOptions {
  /** Settings by name, as parsed, over those of the test. */
  readonly settings?: Readonly<Partial<Record<SettingName, unknown>>>;
  /** One of the pipeline standalone; one of its own unless given. */
  readonly databaseUrl?: string;
  /** Without one, jobs come from the outbox. */
  readonly queue?: TestQueue | null;
  readonly tracer?: Tracer;
  /** Those that are built already unless given. */
  readonly loadPages?: LoadPages;
  /** How the configuration changes while the worker runs; not at all unless given. */
  readonly live?: (config: Config) => LiveConfig;
}

/** A message that the transport `capture` wrote. */
export interface Captured {
  readonly raw: Buffer;
  readonly envelope: { readonly emailId: string; readonly reversePath: string; readonly recipients: readonly string[] };
}

export interface TestWorker {
  readonly config: Config;
  readonly databaseUrl: string;
  /** For looking into the database. */
  readonly db: pg.Pool;
  /** 0 where it is switched off, as it is unless asked for. */
  readonly publicPort: number;
  readonly httpPort: number;
  readonly inboxPort: number;
  /** Grows while the worker runs. */
  readonly logs: readonly LogLine[];
  captured(): Promise<Captured[]>;
  /** Stops the worker as SIGTERM does. At the end of the test it is stopped anyway. */
  stop(): Promise<void>;
}

/** Starts a whole worker, as `smtp-relay worker` does, with the transport `capture` unless the settings say otherwise. */
export async function startWorker(t: TestContext, options: WorkerOptions = {}): Promise<TestWorker> {
  const parts = new AsyncDisposableStack();
  t.after(() => parts.disposeAsync());
  const context = { after: (fn: () => Promise<void>) => parts.defer(fn) };
  const databaseUrl = options.databaseUrl ?? (await createDatabase(context));
  const db = openPool(databaseUrl, 2);
  parts.defer(() => db.end());
  const directory = await mkdtemp(join(tmpdir(), 'smtp-relay-captured-'));
  parts.defer(() => rm(directory, { recursive: true, force: true }));
  const settings = { ...baseSettings(databaseUrl, options.queue ?? null, directory), ...options.settings };
  const config = assembleConfig(new Map(Object.entries(settings) as [SettingName, unknown][]));
  // The AWS SDK finds its credentials nowhere else.
  Object.assign(env, sqsEnv());
  const logs: LogLine[] = [];
  const destination = { write: (line: string) => void logs.push(JSON.parse(line)) };
  const worker = await createWorker((options.live ?? fixedConfig)(config), {
    logger: createLogger({ level: 'debug', format: 'json', destination }),
    ...(options.tracer && { tracer: options.tracer }),
    ...(options.loadPages && { loadPages: options.loadPages }),
  });
  let stopping: Promise<void> | undefined;
  const stop = () => (stopping ??= worker.stop());
  parts.defer(stop);
  const { httpPort = 0, publicPort = 0, inboxPort = 0 } = await worker.start();
  const captured = () => readCaptured(config.capture.directory);
  return { config, databaseUrl, db, publicPort, httpPort, inboxPort, logs, captured, stop };
}

function baseSettings(databaseUrl: string, queue: TestQueue | null, directory: string) {
  return {
    databaseUrl,
    pipeline: 'standalone',
    transport: 'capture',
    'capture.directory': directory,
    'worker.journal': join(directory, 'journal'),
    hostname: 'worker.test',
    host: '127.0.0.1',
    httpHost: '127.0.0.1',
    publicHost: '127.0.0.1',
    httpPort: 0,
    publicPort: 0,
    // Many workers share one server.
    'database.poolSize': 6,
    'database.connectTimeout': 30_000,
    'worker.pollInterval': 100,
    simulatedDelay: 0,
    'worker.consumers': 2,
    shutdownTimeout: 5_000,
    ...(queue && { queueUrl: queue.url, sqsEndpoint: sqsEnv().AWS_ENDPOINT_URL_SQS }),
  } satisfies Partial<Record<SettingName, unknown>>;
}

async function readCaptured(directory: string): Promise<Captured[]> {
  const names = (await readdir(directory)).filter(name => name.endsWith('.json') && !name.startsWith('.'));
  return Promise.all(
    names.sort().map(async name => ({
      raw: await readFile(join(directory, name.replace(/json$/, 'eml'))),
      envelope: JSON.parse(await readFile(join(directory, name), 'utf8')),
    })),
  );
}
