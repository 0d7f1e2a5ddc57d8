import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import nodemailer from 'nodemailer';
import { createTranscript, type TranscriptLine } from './transcript.ts';

/** A test message, and the relay that is to take it. */
export interface SendOptions {
  readonly host: string;
  readonly port: number;
  readonly security: 'starttls' | 'tls' | 'none';
  /** A PEM file of the authority that signed the relay's certificate; the authorities that Node knows unless given. */
  readonly ca?: string;
  /** The certificate is not looked at. */
  readonly insecure?: boolean;
  readonly user: string;
  /** null: no log-in. */
  readonly key: string | null;
  readonly from: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly text: string;
  readonly attach?: readonly string[];
}

export interface SendResult {
  /** The last reply, as the relay wrote it. */
  readonly response: string;
  /** The id that the 250 names; null where another server has taken the message. */
  readonly id: string | null;
  readonly rejected: readonly { readonly recipient: string; readonly response: string }[];
}

/** Milliseconds for each answer. */
const TIMEOUT = 30_000;

/** Sends the message, and tells the session meanwhile. @throws SendError */
export async function sendMessage(options: SendOptions, tell: (line: TranscriptLine) => void): Promise<SendResult> {
  const { host, port, security, user, key, from, to, subject, text, attach = [] } = options;
  const ca = options.ca === undefined ? null : await readFile(options.ca, 'utf8');
  const files = await Promise.all(
    attach.map(async path => ({ filename: basename(path), content: await readFile(path) })),
  );
  const { logger, note } = createTranscript(key, tell);
  const transport = nodemailer.createTransport({
    host,
    port,
    secure: security === 'tls',
    requireTLS: security === 'starttls',
    ignoreTLS: security === 'none',
    tls: { rejectUnauthorized: !options.insecure, ...(ca !== null && { ca }) },
    ...(key !== null && { auth: { user, pass: key } }),
    connectionTimeout: TIMEOUT,
    greetingTimeout: TIMEOUT,
    socketTimeout: TIMEOUT,
    transactionLog: true,
    logger,
  });
  try {
    // Addresses are as typed: the relay is to judge them.
    const message = { from, to: [...to], subject, text, attachments: files, envelope: { from, to: [...to] } };
    const { response, rejectedErrors = [] } = await transport.sendMail(message);
    const rejected = rejectedErrors.map(error => ({
      recipient: error.recipient ?? '',
      response: error.response ?? '',
    }));
    return { response, id: /queued as ([0-9a-f-]{36})/i.exec(response)?.[1] ?? null, rejected };
  } catch (error) {
    const { message, response } = error as NodemailerError;
    if (response === undefined) note(`failed: ${message}`);
    throw new SendError(error as NodemailerError, options);
  } finally {
    transport.close();
  }
}

interface NodemailerError extends Error {
  readonly code?: string;
  /** The command that failed. */
  readonly command?: string;
  readonly response?: string;
  readonly responseCode?: number;
}

/** The relay did not take the message, or could not be asked. The text says what to do. */
export class SendError extends Error {
  override readonly name = 'SendError';
  /** So that nobody takes it for an error of the database's connection. */
  readonly code = 'SEND';
  /** The reply; null where there was none. */
  readonly response: string | null;

  constructor(cause: NodemailerError, options: SendOptions) {
    const said = cause.response?.replaceAll(/\r?\n/g, ' ') ?? cause.message;
    super(`${said}; ${nextStep(cause, options)}`, { cause });
    this.response = cause.response ?? null;
  }
}

interface Step {
  /** Nodemailer's code, its message, the command or the reply: all that are there have to fit. */
  readonly code?: RegExp;
  readonly command?: RegExp;
  readonly message?: RegExp;
  readonly reply?: RegExp;
  readonly what: (options: SendOptions) => string;
}

/** The first that fits. */
const STEPS: readonly Step[] = [
  {
    command: /^STARTTLS$/,
    what: () =>
      'the relay has no certificate (SMTP_RELAY_TLS_CERT_PATH, SMTP_RELAY_TLS_KEY_PATH); --security none sends in clear text',
  },
  { reply: /^535/, what: () => 'the key is unknown, revoked or blocked here: see smtp-relay keys list' },
  {
    reply: /^(?:530|538)/,
    what: () => 'the relay wants a log-in, after STARTTLS: leave --no-key and --security none away',
  },
  { reply: /^4/, what: () => 'that passes: send it again in a moment; docs/replies.md says why' },
  { reply: /^5/, what: () => 'docs/replies.md says what to change' },
  {
    message: /certificate|self.signed|altnames|unable to (?:get|verify)/i,
    what: ({ host }) =>
      `name the authority of the certificate with --ca, and use a host that it is for (${host} was asked); --insecure does not look`,
  },
  {
    message: /wrong version number|packet length/i,
    what: () => 'TLS begins otherwise on that port: --security starttls, tls or none',
  },
  { code: /^EAUTH$/, what: () => 'the relay offers no log-in on this connection: --security starttls' },
  { code: /^EDNS$|^ENOTFOUND$/, what: () => 'name a host that there is: --host' },
  {
    message: /ECONNREFUSED/,
    what: ({ host, port }) =>
      `nobody listens at ${host}:${port}: start it (smtp-relay relay, or make dev), or name where it runs: --host, --port`,
  },
];

function nextStep({ code = '', command = '', message, response }: NodemailerError, options: SendOptions): string {
  const fits = (step: Step) =>
    (step.code?.test(code) ?? true) &&
    (step.command?.test(command) ?? true) &&
    (step.message?.test(message) ?? true) &&
    (step.reply?.test(response ?? '') ?? true);
  return STEPS.find(fits)?.what(options) ?? 'see whether the way there is open: smtp-relay doctor --only ports';
}
