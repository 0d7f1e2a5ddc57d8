import { once } from 'node:events';
import { connect } from 'node:net';
import { freePort } from '../../dev/ports.ts';
import { sqsEnvironment } from '../../dev/sqs.ts';
import type { Pipeline } from '../../src/store/schema/pipeline.ts';
import { type Program, type ProgramOptions, startProgram } from './program.ts';
import type { Stage, System } from './system.ts';

export interface RelayOptions extends Pick<ProgramOptions, 'directory' | 'profile' | 'main'> {
  readonly system: System;
  readonly stage: Stage;
  readonly pipeline: Pipeline;
  readonly tls: boolean;
  /** Settings over those of the bench. */
  readonly env?: NodeJS.ProcessEnv;
}

export interface Relay extends Program {
  readonly port: number;
}

/** Starts `smtp-relay relay`. @throws as `startProgram` */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const { directory, profile, main } = options;
  const port = await freePort();
  const env = environmentOf(options, port);
  const isReady = () => greets(port);
  const other = main === undefined ? {} : { main };
  const program = await startProgram({ command: 'relay', directory, profile, env, isReady, ...other });
  return { port, ...program };
}

function environmentOf({ system, stage, ...options }: RelayOptions, port: number): NodeJS.ProcessEnv {
  const tls = options.tls
    ? { SMTP_RELAY_TLS_CERT_PATH: system.tls.certPath, SMTP_RELAY_TLS_KEY_PATH: system.tls.keyPath }
    : {};
  return {
    ...sqsEnvironment(system.sqsEndpoint),
    ...tls,
    DATABASE_URL: stage.databaseUrl,
    BACKGROUND_JOBS_QUEUE_URL: stage.queueUrl,
    SMTP_RELAY_HOST: '127.0.0.1',
    SMTP_RELAY_PORT: String(port),
    SMTP_RELAY_HTTP_PORT: '0',
    SMTP_RELAY_PIPELINE: options.pipeline,
    ...options.env,
  };
}

/** Whether a server of SMTP says something at the port. */
export async function greets(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port });
  try {
    await once(socket, 'data', { signal: AbortSignal.timeout(2_000) });
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
