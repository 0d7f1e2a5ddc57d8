import pg from 'pg';

/** What an error of the database, or of the way to it, means to who operates the program. */
export interface DatabaseFault {
  readonly what: string;
  /** What to do about it; null where only the database's own log can tell. */
  readonly remedy: string | null;
}

const CHECK_LOGIN = 'check DATABASE_URL, or the PG* variables that complete it';
/** node-postgres has no code for these: the server asks for a password and there is none, or it knows no TLS. */
const REFUSED_IN_WORDS = /password must be a (?:non-empty )?string|does not support SSL connections/;
/** SQLSTATE classes 28 and 3D: the login, the database's name; and the role's rights. */
const REFUSING_STATES = /^(?:28\w{3}|3D\w{3}|42501)$/;
/** Node's words for a certificate that does not pass. */
const REFUSED_CERTIFICATE = /^(?:ERR_TLS_CERT_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(?:GET_ISSUER|VERIFY))/;

/** Whether somebody has to change something first: a job need not be tried again. */
export function isDatabaseRefusal(error: unknown): boolean {
  const { code, message } = firstOf(error);
  return REFUSING_STATES.test(code) || REFUSED_CERTIFICATE.test(code) || REFUSED_IN_WORDS.test(message);
}

/** Errors of Postgres (SQLSTATE, five characters), of its driver and of the operating system; null for what is none of them. */
export function explainDatabaseError(error: unknown): DatabaseFault | null {
  const { code, message } = firstOf(error);
  switch (code) {
    case '42P01':
      return { what: `the database has not been prepared (${message})`, remedy: 'run: smtp-relay migrate' };
    case '42501':
      return {
        what: `the database refuses: ${message}`,
        remedy: 'grant the role of DATABASE_URL what it needs',
      };
    case '28P01':
    case '28000':
    case '3D000':
      return { what: `the database refuses the login: ${message}`, remedy: CHECK_LOGIN };
    case '55P03':
      return { what: 'another migration holds the lock', remedy: 'try again when it has ended' };
    case 'ECONNREFUSED':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'ETIMEDOUT':
    case 'EHOSTUNREACH':
    case 'ECONNRESET':
      return { what: `cannot reach the database: ${message}`, remedy: 'check DATABASE_URL' };
    case '':
      // The driver's own errors have no code.
      if (REFUSED_IN_WORDS.test(message))
        return { what: `the database refuses the login: ${message}`, remedy: CHECK_LOGIN };
      return /timeout|terminated/i.test(message)
        ? { what: `the database does not answer: ${message}`, remedy: null }
        : null;
    default:
      return error instanceof pg.DatabaseError ? { what: `the database answers: ${message}`, remedy: null } : null;
  }
}

/** A host with several addresses fails with one error for each; the first one tells enough. */
function firstOf(error: unknown): { readonly code: string; readonly message: string } {
  const first = error instanceof AggregateError ? error.errors[0] : error;
  if (!(first instanceof Error)) return { code: '', message: '' };
  return { code: 'code' in first && typeof first.code === 'string' ? first.code : '', message: first.message };
}
