import { createHash, type Hash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../../observability/log.ts';
import { MessageUnread, piecesOf, UNREAD_TEXT } from '../../outgoing/bytes.ts';
import type { Outcome, OutgoingMessage, Transport } from '../contract.ts';

export interface CaptureTransportOptions {
  /** The folder; it is made where it is missing, for this user only. */
  readonly directory: string;
  readonly logger: Logger;
  /** The clock; for tests. */
  readonly now?: () => Date;
}

/** What stands in the JSON file beside a message. */
export interface CapturedEnvelope {
  readonly emailId: string;
  /** Empty for the null reverse-path. */
  readonly reversePath: string;
  readonly recipients: readonly string[];
  /** The mailbox of From. */
  readonly from: string;
  readonly tags: OutgoingMessage['tags'];
  readonly bodyType: string;
  readonly smtpUtf8: boolean;
  /** Hexadecimal, of the bytes in the `.eml`. */
  readonly sha256: string;
  /** When it was written, ISO 8601. */
  readonly receivedAt: string;
}

const MAX_RECIPIENTS = 1000;
/** Bytes that are written at a time. */
const PIECE = 256 * 1024;
/** Files of one message in one millisecond. */
const MAX_NAMES = 1000;

/**
 * Writes each message into a folder and sends nothing: `<time>-<email id>.eml` has exactly the bytes that would have gone out, the
 * `.json` of the same name the envelope. Each file appears when it is whole, the `.json` last, and none is overwritten.
 */
export function createCaptureTransport({
  directory,
  logger,
  now = () => new Date(),
}: CaptureTransportOptions): Transport {
  return {
    kind: 'capture',
    maxRecipients: MAX_RECIPIENTS,
    async send(message, signal) {
      const outcome = signal.aborted ? stopped() : await capture(message).catch(failed);
      return [{ recipients: message.recipients, outcome }];
    },
    async close() {},
  };

  async function capture(message: OutgoingMessage): Promise<Outcome> {
    const receivedAt = now();
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const { name, file, path } = await reserve(directory, baseName(message.emailId, receivedAt));
    const eml = join(directory, `${name}.eml`);
    const json = join(directory, `${name}.json`);
    const hash = createHash('sha256');
    await writeAs(file, path, eml, hashed(piecesOf(message.raw, PIECE), hash));
    try {
      const envelopePath = join(directory, `.${name}.json.tmp`);
      const envelope = JSON.stringify(envelopeOf(message, receivedAt, hash.digest('hex')), null, 2);
      await writeAs(await open(envelopePath, 'w', 0o600), envelopePath, json, `${envelope}\n`);
    } catch (error) {
      // It is tried again, and would then be there twice.
      await rm(eml, { force: true });
      throw error;
    }
    return { kind: 'sent', providerMessageId: `${name}.eml` };
  }

  function failed(error: unknown): Outcome {
    if (error instanceof MessageUnread) return { kind: 'transient', code: error.code, message: UNREAD_TEXT };
    logger.error({ err: error, directory }, 'message not captured');
    const { code = 'EUNKNOWN' } = error as NodeJS.ErrnoException;
    return { kind: 'transient', code, message: `The message could not be written into the folder (${code})` };
  }
}

function stopped(): Outcome {
  return { kind: 'transient', code: 'ABORTED', message: 'The worker stopped before the message was written' };
}

/** `20261123T143906.123Z-<email id>`: sorts by time, and is a safe name whatever the id holds. */
function baseName(emailId: string, time: Date): string {
  const stamp = time.toISOString().replaceAll(/[-:]/g, '');
  return `${stamp}-${emailId.replaceAll(/[^A-Za-z0-9-]/g, '_').slice(0, 64)}`;
}

interface Reservation {
  /** The name without extension. */
  readonly name: string;
  readonly file: FileHandle;
  readonly path: string;
}

/**
 * Opens the temporary file of a name that is free. Only who has it may make the files of that name, so that nothing is
 * overwritten although `rename` would.
 */
async function reserve(directory: string, base: string): Promise<Reservation> {
  for (let number = 1; number <= MAX_NAMES; number += 1) {
    const name = number === 1 ? base : `${base}-${number}`;
    const path = join(directory, `.${name}.tmp`);
    const file = await openNew(path);
    if (file === null) continue;
    if (!existsSync(join(directory, `${name}.eml`)) && !existsSync(join(directory, `${name}.json`))) {
      return { name, file, path };
    }
    await file.close();
    await rm(path);
  }
  throw Object.assign(new Error('too many files of one message'), { code: 'EEXIST' });
}

/** @returns null where the file exists */
async function openNew(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'wx', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return null;
    throw error;
  }
}

/** Writes a file and takes its temporary name away, or leaves nothing behind. */
async function writeAs(
  file: FileHandle,
  path: string,
  target: string,
  content: string | AsyncIterable<Buffer>,
): Promise<void> {
  try {
    await file.writeFile(content).finally(() => file.close());
    await rename(path, target);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

async function* hashed(pieces: AsyncIterable<Buffer>, hash: Hash): AsyncGenerator<Buffer> {
  for await (const piece of pieces) {
    hash.update(piece);
    yield piece;
  }
}

function envelopeOf(message: OutgoingMessage, receivedAt: Date, sha256: string): CapturedEnvelope {
  const { emailId, reversePath, recipients, from, tags, bodyType, smtpUtf8 } = message;
  return {
    emailId,
    reversePath,
    recipients,
    from,
    tags,
    bodyType,
    smtpUtf8,
    sha256,
    receivedAt: receivedAt.toISOString(),
  };
}
