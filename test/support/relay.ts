import { env } from 'node:process';
import type pg from 'pg';
import { fixedConfig, type LiveConfig } from '../../src/config/live.ts';
import { assembleConfig, type Config, type SettingName } from '../../src/config/schema.ts';
import type { LoadPages } from '../../src/http/pages.ts';
import { createLogger } from '../../src/observability/log.ts';
import type { Tracer } from '../../src/observability/tracing.ts';
import { createApp } from '../../src/relay.ts';
import { createDatabase } from './database.ts';
import type { Unsendable } from './opensend/sent.ts';
import { type Owner, type OwnerOptions, seedOwner } from './owner.ts';
import { openPool } from './pool.ts';
import { createQueue, sqsEnv, type TestQueue } from './queue.ts';
import { type CertificateFiles, makeCertificate } from './tls.ts';

/** What ends with a test; `{ after }` of `node:test` is one that lives as long as the file. */
export interface TestContext {
  after(fn: () => Promise<void>): void;
}

export interface RelayOptions {
  /** Settings by name, as parsed (`{ 'limits.connections': 2 }`), over those of the test. */
  readonly settings?: Readonly<Partial<Record<SettingName, unknown>>>;
  /** STARTTLS with a certificate of the relay's own; true unless given. */
  readonly tls?: boolean;
  /** Publish to a queue of the test's own; true unless given. */
  readonly queue?: boolean;
  readonly owner?: OwnerOptions;
  readonly tracer?: Tracer;
  /** The database of another relay, with its owner; one of its own, as the setting `pipeline` has it, unless given. */
  readonly shareWith?: Pick<TestRelay, 'databaseUrl' | 'owner'>;
  /** What OpenSend's worker cannot send of what it accepts; unless given, all of that can be sent. */
  readonly unsendable?: Unsendable;
  /** Those that are built already unless given. */
  readonly loadPages?: LoadPages;
  /** How the configuration changes while the relay runs; not at all unless given. */
  readonly live?: (config: Config) => LiveConfig;
}

/** One line of the relay's log. */
export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface TestRelay {
  readonly host: string;
  readonly port: number;
  /** 0 without one. */
  readonly implicitTlsPort: number;
  /** 0 without one. */
  readonly legacyPort: number;
  /** The authority of the relay's certificate, PEM; empty without TLS. */
  readonly ca: string;
  /** The certificate's files, which may be replaced. */
  readonly certificate: CertificateFiles | null;
  readonly config: Config;
  readonly owner: Owner;
  readonly databaseUrl: string;
  /** For looking into the database. */
  readonly db: pg.Pool;
  readonly queue: TestQueue | null;
  /** Grows while the relay runs. */
  readonly logs: readonly LogLine[];
  /** Stops the relay as SIGTERM does. At the end of the test it is stopped anyway. */
  stop(): Promise<void>;
}

const HOST = '127.0.0.1';

/** Starts the whole relay, as `smtp-relay relay` does, on a database and a queue of its own and on free ports. */
export async function startRelay(t: TestContext, options: RelayOptions = {}): Promise<TestRelay> {
  const parts = new AsyncDisposableStack();
  t.after(() => parts.disposeAsync());
  const context = { after: (fn: () => Promise<void>) => parts.defer(fn) };

  const { unsendable } = options;
  const pipeline = options.settings?.pipeline === 'standalone' ? 'standalone' : 'opensend';
  const databaseUrl =
    options.shareWith?.databaseUrl ?? (await createDatabase(context, { pipeline, ...(unsendable && { unsendable }) }));
  const queue = options.queue === false ? null : await createQueue(context);
  const certificate = options.tls === false ? null : await makeCertificate(context);
  const db = createPool(databaseUrl, context);
  const owner = options.shareWith?.owner ?? (await seedOwner(db, options.owner));

  const settings = { ...baseSettings(databaseUrl, queue, certificate), ...options.settings };
  const config = assembleConfig(new Map(Object.entries(settings) as [SettingName, unknown][]));
  // The AWS SDK finds its credentials nowhere else.
  Object.assign(env, sqsEnv());
  const logs: LogLine[] = [];
  const destination = { write: (line: string) => void logs.push(JSON.parse(line)) };
  const app = await createApp((options.live ?? fixedConfig)(config), {
    logger: createLogger({ level: 'debug', format: 'json', destination }),
    ...(options.tracer && { tracer: options.tracer }),
    ...(options.loadPages && { loadPages: options.loadPages }),
  });
  let stopping: Promise<void> | undefined;
  const stop = () => (stopping ??= app.stop());
  parts.defer(stop);
  const { port, implicitTlsPort = 0, legacyPort = 0 } = await app.start();
  const ca = certificate?.ca ?? '';
  const ports = { port, implicitTlsPort, legacyPort };
  return { host: HOST, ...ports, ca, certificate, config, owner, databaseUrl, db, queue, logs, stop };
}

function baseSettings(databaseUrl: string, queue: TestQueue | null, certificate: CertificateFiles | null) {
  return {
    databaseUrl,
    host: HOST,
    port: 0,
    // Tests run at the same time; those about the operational listener have a port for it.
    httpPort: 0,
    hostname: 'relay.test',
    // Many relays share one server.
    'database.poolSize': 4,
    // And one machine: a log-in is no failure because it is busy.
    'database.connectTimeout': 30_000,
    shutdownTimeout: 5_000,
    ...(queue && { queueUrl: queue.url, sqsEndpoint: sqsEnv().AWS_ENDPOINT_URL_SQS }),
    ...(certificate && { 'tls.certPath': certificate.certPath, 'tls.keyPath': certificate.keyPath }),
  } satisfies Partial<Record<SettingName, unknown>>;
}

function createPool(connectionString: string, context: TestContext): pg.Pool {
  const pool = openPool(connectionString, 2);
  context.after(() => pool.end());
  return pool;
}
