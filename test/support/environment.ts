import { env } from 'node:process';

/** What the global set-up tells the test files, which run as processes of their own. */
const NAMES = {
  postgresUrl: 'TEST_POSTGRES_URL',
  standaloneTemplate: 'TEST_POSTGRES_TEMPLATE_STANDALONE',
  opensendTemplate: 'TEST_POSTGRES_TEMPLATE_OPENSEND',
  programs: 'TEST_POSTGRES_PROGRAMS',
  sqsEndpoint: 'TEST_SQS_ENDPOINT',
} as const;

const COMPILED = 'NODE_COMPILE_CACHE';
/** What a process of the project finds in an environment that is empty otherwise: the modules that others of the run have read. */
export const CHILD_ENVIRONMENT: Readonly<Record<string, string>> = env[COMPILED] ? { [COMPILED]: env[COMPILED] } : {};

export type Shared = Record<keyof typeof NAMES, string>;

/** Makes the values visible to every test file that is started from now on. */
export function share(values: Shared): void {
  for (const [key, name] of Object.entries(NAMES)) env[name] = values[key as keyof Shared];
}

/** Reads a value of the global set-up. @throws Error telling how to run a test file */
export function shared(key: keyof Shared): string {
  const value = env[NAMES[key]];
  if (!value) throw new Error('Postgres and SQS are not started. Run this file with: npm test -- <file>');
  return value;
}
