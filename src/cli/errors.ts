import { CommanderError } from 'commander';
import pg from 'pg';
import { ConfigError } from '../config/problem.ts';
import { StoreError } from '../postgres/errors.ts';
import { ForeignInstallation, PipelineMismatch, PipelineUnstated } from '../store/schema/pipeline.ts';

/** Exit codes that scripts can rely on. */
const EXIT = { ok: 0, failure: 1, usage: 2, refused: 3 } as const;

export const EXIT_CODES_HELP = `
Exit codes:
  0  done
  1  it failed: database unreachable, not found, something missing, ...
  2  wrong usage or wrong configuration
  3  the database refuses: its password, its name, its certificate or its rights are wrong, and trying again does not help`;

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
  const message = explainCode(error) ?? (error instanceof Error ? error.message : String(error));
  return { message, exitCode: isRefusal(firstOf(error)) ? EXIT.refused : EXIT.failure };
}

/** SQLSTATE classes 28 and 3D: the login, the database's name; and the role's rights. */
const REFUSING_STATES = /^(?:28\w{3}|3D\w{3}|42501)$/;
/** Node's words for a certificate that does not pass. */
const REFUSED_CERTIFICATE = /^(?:ERR_TLS_CERT_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(?:GET_ISSUER|VERIFY))/;
/** node-postgres has no code for these: the server asks for a password and there is none, or it knows no TLS. */
const REFUSED_IN_WORDS = /password must be a (?:non-empty )?string|does not support SSL connections/;

/** Whether somebody has to change something first: a job need not be tried again. */
function isRefusal({ code, message }: { readonly code: string; readonly message: string }): boolean {
  return REFUSING_STATES.test(code) || REFUSED_CERTIFICATE.test(code) || REFUSED_IN_WORDS.test(message);
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
    case '28P01':
    case '28000':
    case '3D000':
      return refusedLogin(message);
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
      if (REFUSED_IN_WORDS.test(message)) return refusedLogin(message);
      return /timeout|terminated/i.test(message) ? `the database does not answer: ${message}` : null;
    default:
      return error instanceof pg.DatabaseError ? `the database answers: ${message}` : null;
  }
}

function refusedLogin(message: string): string {
  return `the database refuses the login: ${message}; check DATABASE_URL, or the PG* variables that complete it`;
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
