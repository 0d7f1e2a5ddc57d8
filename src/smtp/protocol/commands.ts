import type { SMTPServerSession } from 'smtp-server';
import type { SMTPConnection } from 'smtp-server/lib/smtp-connection.js';
import type { Envelope } from '../../intake/submission.ts';
import { canonicalAddress, parseAddress, quoteOddDots } from '../../message/addresses/address.ts';
import { withoutRoute } from '../../message/addresses/address-list.ts';
import { MECHANISMS } from './auth.ts';

/** A MAIL or RCPT command taken apart, in the shape that smtp-server's handlers expect. */
export interface PathCommand {
  /** The path without angle brackets; empty for the null reverse-path; or `POSTMASTER`. The domain in A-labels, no needless quotes. */
  readonly address: string;
  /** Parameters by upper-case keyword; true for one without a value. False where there are none. */
  readonly args: Record<string, string | true> | false;
  /** A keyword that is given twice. */
  readonly duplicate?: string;
}

/** A recipient without a domain, the only one (RFC 5321 section 4.1.1.3); any case. Who takes the command adds one. */
export const POSTMASTER = 'postmaster';

/** RFC 5321 section 4.5.3.1.4 asks for 512 bytes; parameters and long mailboxes need more. */
const MAX_COMMAND = 2048;
/** So much is waited for of a line whose end has not come: enough for one that is too long to get its own reply. */
export const MAX_UNENDED_LINE = 16_384;
/** AUTH is accepted and ignored (RFC 4954 section 5). */
const PARAMETERS = { MAIL: ['SIZE', 'BODY', 'SMTPUTF8', 'AUTH'], RCPT: [] as readonly string[] } as const;
const PARAMETER = /^([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\x7e]*))?$/;

/**
 * Reads `MAIL FROM:<reverse-path> [parameters]` and `RCPT TO:<forward-path> [parameters]` (RFC 5321 sections 4.1.1.2 and
 * 4.1.1.3). Forgiving where no harm is in it: white space around the path, and a path without angle brackets, as old
 * devices send it. A source route is dropped.
 *
 * @param keyword `MAIL FROM` or `RCPT TO`
 * @returns null where it is not such a command, or the path is not a mailbox
 */
export function parsePathCommand(keyword: string, line: string): PathCommand | null {
  const colon = line.indexOf(':');
  if (colon === -1 || line.slice(0, colon).trim().replaceAll(/\s+/g, ' ').toUpperCase() !== keyword) return null;
  const split = splitPath(line.slice(colon + 1).trim());
  if (split === null) return null;
  const address = readPath(split.path, keyword === 'MAIL FROM');
  const parameters = readParameters(split.rest);
  return address === null || parameters === null ? null : { address, ...parameters };
}

function splitPath(text: string): { path: string; rest: string } | null {
  if (!text.startsWith('<')) {
    const end = text.search(/\s|$/);
    if (end === 0) return null;
    return { path: text.slice(0, end), rest: text.slice(end) };
  }
  const end = endOfPath(text);
  return end === -1 ? null : { path: text.slice(1, end), rest: text.slice(end + 1) };
}

/** The bracket that closes the path; one inside a quoted local part does not. */
function endOfPath(text: string): number {
  let quoted = false;
  for (let position = 1; position < text.length; position += 1) {
    const char = text[position];
    if (quoted && char === '\\') position += 1;
    else if (char === '"') quoted = !quoted;
    else if (!quoted && char === '>') return position;
  }
  return -1;
}

function readPath(path: string, mayBeEmpty: boolean): string | null {
  const mailbox = withoutRoute(path.trim());
  if (mailbox === '') return mayBeEmpty ? '' : null;
  if (!mayBeEmpty && mailbox.toLowerCase() === POSTMASTER) return POSTMASTER;
  const address = parseAddress(mailbox) ?? parseAddress(quoteOddDots(mailbox));
  return address === null ? null : canonicalAddress(address);
}

function readParameters(text: string): Pick<PathCommand, 'args' | 'duplicate'> | null {
  if (text !== '' && !/^\s/.test(text)) return null;
  const args: Record<string, string | true> = {};
  let duplicate: string | undefined;
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const [, name, value] = PARAMETER.exec(word) ?? [];
    if (name === undefined) return null;
    const key = name.toUpperCase();
    if (Object.hasOwn(args, key)) duplicate = key;
    args[key] = value || true;
  }
  const found = Object.keys(args).length > 0;
  return { args: found && args, ...(duplicate !== undefined && { duplicate }) };
}

/** The first parameter that the command does not have; undefined where there is none. */
export function unknownParameter(args: PathCommand['args'], command: 'MAIL' | 'RCPT'): string | undefined {
  const known: readonly string[] = PARAMETERS[command];
  return Object.keys(args || {}).find(name => !known.includes(name));
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/;
/** Commands that have no parameters (RFC 5321 section 4.1.1). QUIT has none either, but who says it shall go. */
const BARE_COMMAND = /^(DATA|RSET)\s+\S/i;

/** Why a command is not even looked at, as the text of a 501; null where it is. */
export function malformation(command: Buffer): string | null {
  const line = command.toString();
  if (CONTROL.test(line)) return '5.5.2 The command has a control character: remove it';
  const [, name] = BARE_COMMAND.exec(line) ?? [];
  return name === undefined ? null : `5.5.4 ${name.toUpperCase()} takes no parameter`;
}

/** Whether a command has more bytes than it may. Those of AUTH have a limit, and a reply, of their own (`readPassword`). */
export function isTooLong(command: Buffer): boolean {
  return command.length > MAX_COMMAND && command.subarray(0, 5).toString().toUpperCase() !== 'AUTH ';
}

/** What EHLO depends on. */
export interface Announcement {
  readonly messageBytes: number;
  readonly recipients: number;
  readonly offersAuth: boolean;
  readonly offersStartTls: boolean;
}

const MAX_NAME = 255;

/** The extensions that EHLO announces (RFC 5321 section 4.1.1.1), one a line. */
export function extensions({ messageBytes, recipients, offersAuth, offersStartTls }: Announcement): string[] {
  return [
    'PIPELINING',
    '8BITMIME',
    'SMTPUTF8',
    'ENHANCEDSTATUSCODES',
    `SIZE ${messageBytes}`,
    // RFC 9422: a client that knows it splits a message before it is told 452.
    `LIMITS RCPTMAX=${recipients}`,
    ...(offersAuth ? [`AUTH ${MECHANISMS}`] : []),
    ...(offersStartTls ? ['STARTTLS'] : []),
  ];
}

/**
 * How the client calls itself by EHLO or HELO. Devices without a name of their own send none, or something else; it decides
 * nothing here. It is kept with messages, in whatever encoding the database has, so only ASCII is left of it.
 */
export function greetingName(line: string): string {
  const name = line.trim().split(/\s+/).slice(1).join(' ');
  return (
    name
      .replaceAll(/[^\x20-\x7e]/g, '?')
      .slice(0, MAX_NAME)
      .toLowerCase() || 'unknown'
  );
}

type LibraryEnvelope = SMTPServerSession['envelope'];

/** What MAIL and RCPT said, as the library keeps it, in our words. */
export function envelopeOf({ mailFrom, rcptTo, bodyType = '7bit', smtpUtf8 = false }: LibraryEnvelope): Envelope {
  return {
    reversePath: mailFrom ? mailFrom.address : '',
    recipients: rcptTo.map(({ address }) => address),
    bodyType,
    smtpUtf8,
  };
}

/** SIZE of MAIL (RFC 1870) in bytes; 0 without. */
export function declaredSize({ mailFrom }: LibraryEnvelope): number {
  const parameters = mailFrom ? mailFrom.args : false;
  return parameters ? Number(parameters['SIZE'] ?? 0) : 0;
}

/** The name of the protocol (RFC 3848; RFC 6531 section 4.3 for SMTPUTF8). */
export function protocolOf(
  { session, openingCommand, secure }: Pick<SMTPConnection, 'session' | 'openingCommand' | 'secure'>,
  isLoggedIn: boolean,
): string {
  const base = session.envelope.smtpUtf8 ? 'UTF8SMTP' : openingCommand === 'HELO' ? 'SMTP' : 'ESMTP';
  return base + (secure ? 'S' : '') + (isLoggedIn ? 'A' : '');
}
