import { isAscii as isAsciiBytes } from 'node:buffer';
import { isAscii } from '../../../message/addresses/address.ts';
import { bodyOffset } from '../../../message/header/fields.ts';
import { headOf, isAsciiOnly } from '../../outgoing/bytes.ts';
import type { Outcome, OutgoingMessage, RecipientOutcome } from '../contract.ts';

/** What is said before the message itself. */
export interface SessionEnvelope {
  readonly reversePath: string;
  readonly recipients: readonly string[];
  readonly eightBit: boolean;
  readonly smtpUtf8: boolean;
}

/** A message as a certain smarthost can be given it. */
export interface PlannedEnvelope {
  /** Null where the smarthost can take it for nobody. */
  readonly envelope: SessionEnvelope | null;
  /** Those it cannot be given, each with the reason. */
  readonly refused: readonly RecipientOutcome[];
}

/** Characters that no path in a command may have, wherever they stand. */
const UNSENDABLE = /[\r\n<>]/;

/**
 * Holds a message against what the smarthost offers. Nothing is converted, so what it does not take fails for good, with
 * the codes of RFC 3463, RFC 6152 and RFC 6531.
 */
export function planEnvelope(message: OutgoingMessage, capabilities: SmtpCapabilities): PlannedEnvelope {
  const whole = refuseWhole(message, capabilities);
  if (whole) return { envelope: null, refused: [{ recipients: message.recipients, outcome: whole }] };
  const refused: RecipientOutcome[] = [];
  const recipients = message.recipients.filter(recipient => {
    const outcome = refuseRecipient(recipient, capabilities);
    if (outcome) refused.push({ recipients: [recipient], outcome });
    return outcome === null;
  });
  if (recipients.length === 0) return { envelope: null, refused };
  const { reversePath } = message;
  const foreign = needsUtf8(message) || [reversePath, ...recipients].some(address => !isAscii(address));
  const eightBit = message.bodyType.toUpperCase() === '8BITMIME' || !isAsciiOnly(message.raw);
  return { envelope: { reversePath, recipients, eightBit, smtpUtf8: foreign }, refused };
}

function refuseWhole(message: OutgoingMessage, capabilities: SmtpCapabilities): Outcome | null {
  const { raw, reversePath } = message;
  if (UNSENDABLE.test(reversePath))
    return permanent('5.1.7', 'The reverse-path has characters that no command can carry');
  if (raw.length > capabilities.messageBytes) {
    return permanent('5.3.4', `The message has ${raw.length} bytes; the smarthost takes ${capabilities.messageBytes}`);
  }
  if (!capabilities.smtpUtf8 && (!isAscii(reversePath) || needsUtf8(message))) {
    return permanent('5.6.7', 'The message needs SMTPUTF8, which the smarthost does not offer');
  }
  if (!capabilities.eightBitMime && !isAsciiOnly(raw)) {
    return permanent('5.6.3', 'The message has 8-bit characters, but the smarthost does not offer 8BITMIME');
  }
  return null;
}

function refuseRecipient(recipient: string, capabilities: SmtpCapabilities): Outcome | null {
  if (UNSENDABLE.test(recipient)) return permanent('5.1.3', 'The address has characters that no command can carry');
  if (capabilities.smtpUtf8 || isAscii(recipient)) return null;
  return permanent('5.6.7', 'The address needs SMTPUTF8, which the smarthost does not offer');
}

/** Many clients write UTF-8 into header fields and never say so: only those that say SMTPUTF8 are held to it. */
function needsUtf8({ smtpUtf8, raw }: OutgoingMessage): boolean {
  const head = headOf(raw);
  return smtpUtf8 && !isAsciiBytes(head.subarray(0, bodyOffset(head)));
}

function permanent(code: string, text: string): Outcome {
  return { kind: 'permanent', code, message: `${code} ${text}` };
}

/** What a smarthost offers in its answer to EHLO, as far as it decides about messages. */
export interface SmtpCapabilities {
  /** RFC 6152. */
  readonly eightBitMime: boolean;
  /** RFC 6531. */
  readonly smtpUtf8: boolean;
  /** The largest message in bytes (RFC 1870); Infinity where it does not say. */
  readonly messageBytes: number;
}

/** Reads the reply to EHLO: the first line greets, each other one begins with a keyword. That to HELO has one line. */
export function readCapabilities(reply: string): SmtpCapabilities {
  const lines = reply.split(/\r?\n/).slice(1);
  const keywords = new Map(lines.map(line => readLine(line.slice('250-'.length))));
  const size = Number(keywords.get('SIZE') ?? 0);
  return {
    eightBitMime: keywords.has('8BITMIME'),
    smtpUtf8: keywords.has('SMTPUTF8'),
    messageBytes: size > 0 ? size : Number.POSITIVE_INFINITY,
  };
}

function readLine(line: string): [keyword: string, parameter: string] {
  const [keyword = '', parameter = ''] = line.trim().split(/\s+/);
  return [keyword.toUpperCase(), parameter];
}
