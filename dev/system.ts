import { fixedConfig } from '../src/config/live.ts';
import { loadConfig } from '../src/config/load.ts';
import type { Config } from '../src/config/schema.ts';
import { createLogger, type Logger } from '../src/observability/log.ts';
import { createPool, type Queryable } from '../src/postgres/pool.ts';
import { createApp } from '../src/relay.ts';
import { migrate } from '../src/store/schema/migrate.ts';
import { makeSharedTables } from '../src/store/schema/pipeline.ts';
import { createWorker } from '../src/worker.ts';
import { currentPages } from './pages.ts';
import { createWatch, type Watch } from './show/watch.ts';
import { sqsEnvironment } from './sqs.ts';
import { stopWithin } from './stop-within.ts';

export interface SystemOptions {
  /** Of relay and worker. */
  readonly env: NodeJS.ProcessEnv;
  readonly sqsEndpoint: string;
  /** Stops what was started. */
  readonly running: AsyncDisposableStack;
  /** Shows one line. */
  readonly show: (line: string) => void;
  /** From now on, errors that nobody caught are logged here, and the process goes on. */
  readonly surviveFaults: (logger: Logger) => void;
}

export interface System {
  readonly config: Config;
  readonly db: Queryable;
  /** Of the relay. */
  readonly port: number;
  /** undefined without one. */
  readonly inboxPort: number | undefined;
  /** Whether there is a worker: OpenSend's pipeline has its own. */
  readonly delivers: boolean;
  /** Not started yet. */
  readonly watch: Watch;
}

/** How many milliseconds longer than messages under way all else may take to end. */
const STOP_SLACK = 3_000;

/** Starts relay and worker in this process. They are stopped in reverse, and the watch only after them: it shows their last. */
export async function startSystem(options: SystemOptions): Promise<System> {
  const { env, sqsEndpoint, running, show, surviveFaults } = options;
  const { config, warnings } = loadConfig(env);
  const logger = createLogger({ level: config.logLevel, format: config.logFormat });
  surviveFaults(logger);
  for (const warning of warnings) logger.warn({ room: 'config' }, warning);
  const db = createPool(
    { databaseUrl: config.databaseUrl, poolSize: 2, connectTimeout: 5_000, statementTimeout: 5_000 },
    logger,
  );
  running.defer(() => db.end());
  // No OpenSend will come to this database, whose migrations would fail by it.
  if (config.pipeline === 'opensend') await makeSharedTables(db);
  await migrate(config.databaseUrl, { pipeline: config.pipeline, logger });
  const watch = createWatch({ db, captured: config.capture.directory, show });
  running.defer(() => watch.stop());
  useEmbeddedSqs(sqsEndpoint);

  const stopLimit = config.drainDelay + config.shutdownTimeout + STOP_SLACK;
  const worker =
    config.pipeline === 'standalone'
      ? await createWorker(fixedConfig(config), { logger, loadPages: currentPages })
      : null;
  if (worker) running.defer(() => stopWithin('the worker', stopLimit, () => worker.stop()));
  const { inboxPort } = (await worker?.start()) ?? {};
  // Two cannot listen on one operational port. It is the worker's, where there is one.
  const app = await createApp(fixedConfig(worker ? { ...config, httpPort: 0 } : config), { logger });
  running.defer(() => stopWithin('the relay', stopLimit, () => app.stop()));
  const { port } = await app.start();
  return { config, db, port, inboxPort, watch, delivers: worker !== null };
}

/** The AWS SDK reads the environment of the process itself; a profile of the user's would win over these. */
function useEmbeddedSqs(endpoint: string): void {
  for (const name of ['AWS_PROFILE', 'AWS_SESSION_TOKEN']) delete process.env[name];
  Object.assign(process.env, sqsEnvironment(endpoint));
}
