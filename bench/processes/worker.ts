import { readFile } from 'node:fs/promises';
import { sqsEnvironment } from '../../dev/sqs.ts';
import { CREDENTIALS } from '../../test/support/ses/sigv4.ts';
import { type Program, type ProgramOptions, startProgram } from '../support/program.ts';
import type { Stage, System } from '../support/system.ts';

export interface WorkerOptions extends Pick<ProgramOptions, 'main' | 'directory' | 'profile'> {
  readonly system: Pick<System, 'sqsEndpoint'>;
  readonly stage: Stage;
  readonly ses: { readonly endpoint: string };
  /** Settings over those of the bench. */
  readonly env?: NodeJS.ProcessEnv;
}

/** Starts `smtp-relay worker`. @throws as `startProgram` */
export function startWorker(options: WorkerOptions): Promise<Program> {
  const { main, directory, profile } = options;
  const isReady = async (logFile: string) => (await readFile(logFile, 'utf8')).includes('"msg":"working"');
  return startProgram({
    command: 'worker',
    directory,
    profile,
    env: environmentOf(options),
    isReady,
    ...(main && { main }),
  });
}

function environmentOf({ system, stage, ses, env }: WorkerOptions): NodeJS.ProcessEnv {
  return {
    ...sqsEnvironment(system.sqsEndpoint),
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    AWS_ENDPOINT_URL_SESV2: ses.endpoint,
    DATABASE_URL: stage.databaseUrl,
    BACKGROUND_JOBS_QUEUE_URL: stage.queueUrl,
    SMTP_RELAY_HTTP_PORT: '0',
    SMTP_RELAY_PUBLIC_PORT: '0',
    SMTP_RELAY_PIPELINE: 'standalone',
    SMTP_RELAY_TRANSPORT: 'ses',
    SMTP_RELAY_SES_SEND_RATE: '100000',
    ...env,
  };
}
