import { CommanderError } from 'commander';
import pg from 'pg';
import { ConfigError } from '../config/problem.ts';
import { StoreError } from '../store/errors.ts';
import { ForeignInstallation, PipelineMismatch, PipelineUnstated } from '../store/pipeline.ts';

/** Exit codes that scripts can rely on. */
export const EXIT = { ok: 0, failure: 1, usage: 2 } as const;

export const EXIT_CODES_HELP = `
Exit codes:
  0  done
  1  it failed: database unreachable, not found, something missing, ...
  2  wrong usage or wrong configuration`;

/** The command did its work, and what it looked at is not as it should be. The answer says what; the text is for people. */
export class CheckFailed extends Error {
  readonly code = 'CHECK';

  constructor(message: string) {
    super(message);
    this.name = 'CheckFailed';
  }
}

export interface Failure {
  /** One sentence for people; null where it is said already. */
  readonly message: string | null;
  readonly exitCode: number;
}

/** What an error means to the person who typed the command. */
export function explain(error: unknown): Failure {
  if (error instanceof CommanderError) return { message: null, exitCode: error.exitCode === 0 ? EXIT.ok : EXIT.usage };
  if (isMisconfigured(error)) return usage(error.message);
  if (error instanceof StoreError) return error.code === 'invalid' ? usage(error.message) : failure(error.message);
  return failure(explainCode(error) ?? (error instanceof Error ? error.message : String(error)));
}

function isMisconfigured(error: unknown): error is Error {
  return [ConfigError, PipelineMismatch, ForeignInstallation, PipelineUnstated].some(kind => error instanceof kind);
}

/** Errors of Postgres (SQLSTATE, five characters) and of the operating system that have a known way out. */
function explainCode(error: unknown): string | null {
  const { code, message } = firstOf(error);
  switch (code) {
    case '42P01':
      return `the database has not been prepared (${message}); run: smtp-relay migrate`;
    case '42501':
      return `the database refuses: ${message}; grant the role of DATABASE_URL what it needs`;
    case '55P03':
      return 'another migration holds the lock; try again when it has ended';
    case 'ECONNREFUSED':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'ETIMEDOUT':
    case 'EHOSTUNREACH':
    case 'ECONNRESET':
      return `cannot reach the database: ${message}; check DATABASE_URL`;
    case '':
      // The driver's own errors have no code.
      return /timeout|terminated/i.test(message) ? `the database does not answer: ${message}` : null;
    default:
      return error instanceof pg.DatabaseError ? `the database answers: ${message}` : null;
  }
}

/** A host with several addresses fails with one error for each; the first one tells enough. */
function firstOf(error: unknown): { readonly code: string; readonly message: string } {
  const first = error instanceof AggregateError ? error.errors[0] : error;
  if (!(first instanceof Error)) return { code: '', message: '' };
  return { code: 'code' in first && typeof first.code === 'string' ? first.code : '', message: first.message };
}

function usage(message: string): Failure {
  return { message, exitCode: EXIT.usage };
}

function failure(message: string): Failure {
  return { message, exitCode: EXIT.failure };
}
