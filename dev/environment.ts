import { sqsEnvironment } from './sqs.ts';
import type { TlsFiles } from './tls-files.ts';

export interface EmbeddedParts {
  readonly databaseUrl: string;
  readonly queueUrl: string;
  readonly eventsQueueUrl: string;
  readonly sqsEndpoint: string;
  readonly tls: TlsFiles;
  /** The folder for messages of the transport `capture`. */
  readonly captured: string;
  /** The folder for outcomes that the database did not take. */
  readonly journal: string;
  readonly trackingSecret: string;
  /** 32 bytes in Base64. */
  readonly webhooksKey: string;
}

/** Settings that suit one person at one machine; whoever sets them otherwise is right. */
const PRESETS = {
  SMTP_RELAY_HOST: '127.0.0.1',
  SMTP_RELAY_PUBLIC_HOST: '127.0.0.1',
  SMTP_RELAY_HTTP_HOST: '127.0.0.1',
  // Many a program of a developer listens on 8080, and probes and metrics are wanted elsewhere.
  SMTP_RELAY_HTTP_PORT: '0',
  SMTP_RELAY_PIPELINE: 'standalone',
  SMTP_RELAY_TRANSPORT: 'capture',
  SMTP_RELAY_SENDER_DOMAINS: 'any',
  // Where a receiver of webhooks is being written.
  SMTP_RELAY_WEBHOOKS_ALLOWED_NETWORKS: '127.0.0.0/8,::1/128',
  SMTP_RELAY_SHUTDOWN_TIMEOUT: '5s',
  SMTP_RELAY_LOG_LEVEL: 'warn',
  SMTP_RELAY_LOG_FORMAT: 'pretty',
};

/** What the other commands need to work on what `dev` runs. */
const FOR_COMMANDS = [
  'DATABASE_URL',
  'SMTP_RELAY_PIPELINE',
  'SMTP_RELAY_WEBHOOKS_SECRET_KEYS',
  'SMTP_RELAY_WEBHOOKS_ALLOWED_NETWORKS',
  'SMTP_RELAY_EVENTS_QUEUE_URL',
  'AWS_ENDPOINT_URL_SQS',
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
  'AWS_REGION',
  'SMTP_RELAY_HOST',
  'SMTP_RELAY_PORT',
  'SMTP_RELAY_HTTP_PORT',
  'SMTP_RELAY_TRANSPORT',
  'SMTP_RELAY_CAPTURE_DIRECTORY',
  'SMTP_RELAY_TLS_CERT_PATH',
  'SMTP_RELAY_TLS_KEY_PATH',
] as const;

/** The user's environment over the presets, for what must be known before any part runs. */
export function presetEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const preset = { ...PRESETS, ...set };
  return { SMTP_RELAY_INBOX_ENABLED: String(preset.SMTP_RELAY_PIPELINE === 'standalone'), ...preset };
}

/**
 * The environment of relay and worker in `dev`. Database and queues are always the embedded ones, whatever the shell has set
 * for another installation.
 *
 * @param publicPort where opens and clicks arrive; 0 for nowhere
 */
export function devEnvironment(env: NodeJS.ProcessEnv, parts: EmbeddedParts, publicPort: number): NodeJS.ProcessEnv {
  const preset = presetEnvironment(env);
  const { SMTP_RELAY_TLS_CERT_PATH: ownCert, SMTP_RELAY_TLS_KEY_PATH: ownKey } = preset;
  const tls = { SMTP_RELAY_TLS_CERT_PATH: parts.tls.cert, SMTP_RELAY_TLS_KEY_PATH: parts.tls.key };
  return {
    TRACKING_SECRET: parts.trackingSecret,
    ...(publicPort !== 0 && { TRACKING_BASE_URL: `http://127.0.0.1:${publicPort}` }),
    SMTP_RELAY_WEBHOOKS_SECRET_KEYS: parts.webhooksKey,
    SMTP_RELAY_CAPTURE_DIRECTORY: parts.captured,
    SMTP_RELAY_WORKER_JOURNAL: parts.journal,
    ...preset,
    ...(ownCert || ownKey ? {} : tls),
    ...sqsEnvironment(parts.sqsEndpoint),
    DATABASE_URL: parts.databaseUrl,
    BACKGROUND_JOBS_QUEUE_URL: parts.queueUrl,
    SMTP_RELAY_EVENTS_QUEUE_URL: parts.eventsQueueUrl,
  };
}

/** Lines for a shell, with which the other commands of smtp-relay reach what runs with this environment. */
export function renderEnvironmentFile(env: NodeJS.ProcessEnv): string {
  const named = FOR_COMMANDS.filter(name => env[name] !== undefined);
  const lines = named.map(name => `export ${name}='${(env[name] ?? '').replaceAll("'", "'\\''")}'\n`);
  return lines.join('');
}
