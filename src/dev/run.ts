import { once } from 'node:events';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createApp } from '../app.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { createLogger } from '../observability/log.ts';
import { migrate } from '../store/migrate.ts';
import { createPool } from '../store/pool.ts';
import { keepDemoOwner } from './demo.ts';
import { devEnvironment, presetEnvironment } from './environment.ts';
import { startParts } from './parts.ts';
import { readPorts, requireFreePort } from './ports.ts';
import { renderSettings } from './settings.ts';
import { sqsEnvironment } from './sqs.ts';
import { lockState } from './state.ts';
import { watchArrivals } from './watch.ts';

export interface DevOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly stdout: NodeJS.WritableStream;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Where it keeps its state; `.dev` of the project unless given. */
  readonly directory?: string;
}

const DIRECTORY = fileURLToPath(new URL('../../.dev', import.meta.url));

/**
 * Runs the whole system on this machine until the signal: embedded Postgres and SQS, a local certificate, a demo owner, the
 * relay. Prints what to tell a mail client, then one line for each message that arrives. All is stopped in reverse order.
 *
 * @throws Error whose message says what to do: a port is taken, another one runs, a package is missing
 */
export async function runDev({ env, stdout, signal, directory = DIRECTORY }: DevOptions): Promise<void> {
  const say = (text: string) => void stdout.write(`${text}\n`);
  const ports = readPorts(env);
  const early = loadConfig(presetEnvironment(env), { require: [], checkTlsFiles: false }).config;
  await using running = new AsyncDisposableStack();
  running.defer(await lockState(resolve(directory)));
  await requireFreePort('SMTP_RELAY_PORT', early.port, early.host);
  await requireFreePort('DEV_POSTGRES_PORT', ports.postgres);
  await requireFreePort('DEV_SQS_PORT', ports.sqs);

  const parts = await startParts({ directory: resolve(directory), ports, running, say });
  if (signal.aborted) return;
  const relay = await startRelay(devEnvironment(env, parts), parts.sqsEndpoint, running);
  if (signal.aborted) return;
  say(
    renderSettings({
      host: clientHost(relay.config.host),
      port: relay.port,
      caFile: relay.config.tls.certPath === parts.tls.cert ? parts.tls.ca : undefined,
      ...(await keepDemoOwner(relay.db, parts.keyFile)),
    }),
  );
  say(
    `Postgres: ${parts.databaseUrl}\nSQS:      ${parts.queueUrl}\n\nMessages are shown here. Ctrl-C stops everything.\n`,
  );
  const watching = watchArrivals({ db: relay.db, queuedEmailIds: parts.queuedEmailIds, show: say, signal });
  running.defer(() => watching);
  if (!signal.aborted) await once(signal, 'abort');
  say('\nStopping.');
}

async function startRelay(env: NodeJS.ProcessEnv, sqsEndpoint: string, running: AsyncDisposableStack) {
  const { config, warnings } = loadConfig(env);
  const logger = createLogger({ level: config.logLevel, format: config.logFormat });
  for (const warning of warnings) logger.warn({ room: 'config' }, warning);
  await migrate(config.databaseUrl, { pipeline: config.pipeline, logger });
  const db = createPool(
    { databaseUrl: config.databaseUrl, poolSize: 2, connectTimeout: 5_000, statementTimeout: 5_000 },
    logger,
  );
  running.defer(() => db.end());
  useEmbeddedSqs(sqsEndpoint);
  const app = await createApp(config, { logger });
  running.defer(() => app.stop());
  const { port } = await app.start();
  return { config, db, port };
}

/** The AWS SDK reads the environment of the process itself; a profile of the user's would win over these. */
function useEmbeddedSqs(endpoint: string): void {
  for (const name of ['AWS_PROFILE', 'AWS_SESSION_TOKEN']) delete process.env[name];
  Object.assign(process.env, sqsEnvironment(endpoint));
}

/** Where a client on this machine finds a relay that listens on that address. */
function clientHost(host: Config['host']): string {
  return host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
}
