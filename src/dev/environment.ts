import { sqsEnvironment } from './sqs.ts';
import type { TlsFiles } from './tls-files.ts';

export interface EmbeddedParts {
  readonly databaseUrl: string;
  readonly queueUrl: string;
  readonly sqsEndpoint: string;
  readonly tls: TlsFiles;
}

/** Settings that suit one person at one machine; whoever sets them otherwise is right. */
const PRESETS = {
  SMTP_RELAY_HOST: '127.0.0.1',
  SMTP_RELAY_PIPELINE: 'standalone',
  SMTP_RELAY_TRANSPORT: 'capture',
  SMTP_RELAY_SENDER_DOMAINS: 'any',
  SMTP_RELAY_LOG_LEVEL: 'warn',
  SMTP_RELAY_LOG_FORMAT: 'pretty',
};

/** The user's environment over the presets, for what must be known before any part runs. */
export function presetEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const set = Object.entries(env).filter(([, value]) => value !== '');
  return { ...PRESETS, ...Object.fromEntries(set) };
}

/**
 * The environment of the relay in `dev`. Database and queue are always the embedded ones, whatever the shell has set for
 * another installation.
 */
export function devEnvironment(env: NodeJS.ProcessEnv, parts: EmbeddedParts): NodeJS.ProcessEnv {
  const preset = presetEnvironment(env);
  const { SMTP_RELAY_TLS_CERT_PATH: ownCert, SMTP_RELAY_TLS_KEY_PATH: ownKey } = preset;
  const tls = { SMTP_RELAY_TLS_CERT_PATH: parts.tls.cert, SMTP_RELAY_TLS_KEY_PATH: parts.tls.key };
  return {
    ...preset,
    ...(ownCert || ownKey ? {} : tls),
    ...sqsEnvironment(parts.sqsEndpoint),
    DATABASE_URL: parts.databaseUrl,
    BACKGROUND_JOBS_QUEUE_URL: parts.queueUrl,
  };
}
