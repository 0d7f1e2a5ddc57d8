import { readFile } from 'node:fs/promises';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import type { SmtpFailure, SmtpStep } from './classify.ts';

/** A smarthost, and how to log in to it. */
export interface SmtpSettings {
  readonly host: string;
  readonly port: number;
  /** `starttls`: by STARTTLS or not at all. `tls`: from the first byte. `none`: in clear text. */
  readonly security: 'starttls' | 'tls' | 'none';
  /** Empty: no log-in. */
  readonly user: string;
  readonly password: string;
  /** A file that holds the password, read for each connection; empty: `password` is it. */
  readonly passwordFile: string;
  /** Milliseconds for the answer to one command; after the final dot eleven times as long (`FINAL_FACTOR`). */
  readonly timeout: number;
  /** A PEM file of authorities, read for each connection; empty: those that Node trusts. */
  readonly caPath: string;
  /** The name to greet with (EHLO). */
  readonly name: string;
}

/** Nodemailer's errors, as far as they are looked at. */
export interface ConnectionError extends Error {
  readonly code?: string | undefined;
  readonly originalCode?: string | undefined;
  readonly response?: string | undefined;
  readonly command?: string | undefined;
  readonly recipient?: string | undefined;
}

/** A session could not be opened, or ended before a message was sent. */
export class SmtpSessionError extends Error {
  override readonly name = 'SmtpSessionError';
  readonly failure: SmtpFailure;

  constructor(failure: SmtpFailure, cause?: unknown) {
    super(`no session with the smarthost (${failure.fault})`, { cause });
    this.failure = failure;
  }
}

/** A connection that is not opened yet. @throws SmtpSessionError where a file cannot be read */
export async function createConnection(settings: SmtpSettings): Promise<SMTPConnection> {
  const { host, port, security, timeout, name, caPath } = settings;
  const ca = caPath === '' ? null : await readFile(caPath, 'utf8').catch(rethrowAs('connect'));
  return new SMTPConnection({
    host,
    port,
    name,
    secure: security === 'tls',
    requireTLS: security === 'starttls',
    ignoreTLS: security === 'none',
    tls: { minVersion: 'TLSv1.2', ...(ca !== null && { ca }) },
    connectionTimeout: timeout,
    greetingTimeout: timeout,
    dnsTimeout: timeout,
    socketTimeout: timeout,
  });
}

/** @throws SmtpSessionError where the file cannot be read */
export async function readPassword({ password, passwordFile }: SmtpSettings): Promise<string> {
  if (passwordFile === '') return password;
  const text = await readFile(passwordFile, 'utf8').catch(rethrowAs('login'));
  return text.replace(/[\r\n]+$/, '');
}

/**
 * Nodemailer says SMTPUTF8 for addresses only, but a message needs it for its header fields too (RFC 6531 section 3.4).
 * Every command goes through this method, which is not in its types.
 */
export function addMailParameter(connection: SMTPConnection, isWanted: () => boolean): void {
  const internals = connection as unknown as { _sendCommand(command: string, logged?: string): void };
  const send = internals._sendCommand.bind(connection);
  internals._sendCommand = (command, logged) => {
    const lacks = command.startsWith('MAIL FROM:') && isWanted() && !/> .*\bSMTPUTF8\b/.test(command);
    send(lacks ? `${command} SMTPUTF8` : command, logged);
  };
}

export function rethrowAs(step: SmtpStep): (error: unknown) => never {
  return error => {
    throw new SmtpSessionError(failureOf(error, step), error);
  };
}

export function failureOf(error: unknown, step: SmtpStep): SmtpFailure {
  const { originalCode, code, response } = error as ConnectionError;
  return { step, reply: response ?? null, fault: originalCode ?? code ?? 'EUNKNOWN' };
}

export function fault(code: string): Error {
  return Object.assign(new Error(code), { code });
}
