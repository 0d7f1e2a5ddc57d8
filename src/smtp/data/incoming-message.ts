import type { Holding } from '../../intake/admission.ts';
import { ByteCollector, freeMemory, type MessageBytes } from '../../message/bytes.ts';
import { contentRefusal, Refusal, sizeRefusal } from '../../message/refusal.ts';
import { DataDecoder } from './decoder.ts';

export interface IncomingLimits {
  /** The largest message in bytes. */
  readonly messageBytes: number;
  /** `reject`: bare CR and LF refuse the message. `accept`: they become CRLF. */
  readonly bareLineEndings: 'reject' | 'accept';
}

/** A message that has arrived in full. */
export interface ReceivedMessage {
  /** Without the dots of transparency and the end-of-data line. */
  readonly raw: MessageBytes;
  /** Bytes of the longest line, CRLF not counted. */
  readonly longestLine: number;
}

/**
 * Collects the text of one DATA. Whatever arrives, memory stays within the message limit and what its key may take:
 * beyond them the rest is read and thrown away, and the message is refused at its end, as SMTP wants it.
 */
export class IncomingMessage {
  /** Milliseconds since 1970. */
  readonly beganAt = Date.now();
  readonly #limits: IncomingLimits;
  readonly #holding: Holding;
  readonly #decoder: DataDecoder;
  readonly #bytes = new ByteCollector();
  #taken: MessageBytes | null = null;
  #size = 0;
  #hasNul = false;
  #refusal: Refusal | null = null;

  constructor(limits: IncomingLimits, holding: Holding) {
    this.#limits = limits;
    this.#holding = holding;
    this.#decoder = new DataDecoder(bytes => this.#append(bytes), limits.bareLineEndings === 'accept');
  }

  /** Bytes so far, those that were thrown away included. */
  get size(): number {
    return this.#size;
  }

  /** Whether what follows is thrown away. */
  get isRefused(): boolean {
    return this.#refusal !== null;
  }

  /** Resolves when more of it should be read; null where it should be now. */
  untilWanted(): Promise<void> | null {
    return this.#holding.untilWanted();
  }

  /** @returns the offset behind the end of data in this chunk, or -1 where it is not in it. */
  push(chunk: Buffer): number {
    // Here and not at the end, where to look through all of a large message would hold up the others.
    const nul = chunk.indexOf(0);
    const end = this.#decoder.push(chunk);
    if (nul !== -1 && (end === -1 || nul < end)) this.#hasNul = true;
    return end;
  }

  /**
   * The message, once `push` has met its end.
   *
   * @throws Refusal 552 too large, 452 no room, 550 5.6.11 bare CR or LF, 554 NUL
   */
  take(): ReceivedMessage {
    const { bareLineEnding, longestLine } = this.#decoder.facts();
    if (this.#refusal) throw this.#refusal;
    if (bareLineEnding && this.#limits.bareLineEndings === 'reject') throw bareLineEndingRefusal();
    if (this.#hasNul) {
      throw contentRefusal('nul', 'The message has a NUL byte: encode binary parts as base64 (RFC 5321 section 4.5.2)');
    }
    this.#taken = this.#bytes.takeBlocks();
    return { raw: this.#taken, longestLine };
  }

  /** Gives the memory back, and its room. To be called when nothing holds the message any more. */
  release(): void {
    this.#bytes.free();
    if (this.#taken) freeMemory(this.#taken);
    this.#holding.release();
  }

  #append(bytes: Buffer): void {
    this.#size += bytes.length;
    if (this.#refusal) {
      freeMemory(bytes);
      return;
    }
    if (this.#size > this.#limits.messageBytes) this.#refuse(tooLargeRefusal(this.#limits.messageBytes));
    else if (!this.#holding.tryTake(bytes.length)) this.#refuse(noRoomRefusal());
    else this.#bytes.add(bytes);
  }

  #refuse(refusal: Refusal): void {
    this.#refusal = refusal;
    this.release();
  }
}

/** One whose first bytes end it, and its connection. */
export class CutMessage extends IncomingMessage {
  readonly #cut: () => void;

  constructor(limits: IncomingLimits, holding: Holding, cut: () => void) {
    super(limits, holding);
    this.#cut = cut;
  }

  override push(): number {
    this.#cut();
    return -1;
  }
}

function tooLargeRefusal(limit: number): Refusal {
  return sizeRefusal('message_size', `The message is larger than ${limit} bytes: send less or a link`);
}

/** `452 4.3.1`: too many bytes are in flight. */
export function noRoomRefusal(): Refusal {
  const text = 'Too many large messages at this moment: try again shortly';
  return new Refusal({ code: 452, enhancedCode: '4.3.1', text, rule: 'bytes_in_flight' });
}

function bareLineEndingRefusal(): Refusal {
  const text = 'Lines must end with CR LF, but a bare CR or LF was sent (RFC 5321 section 2.3.8): mend the client';
  return new Refusal({ code: 550, enhancedCode: '5.6.11', text, rule: 'bare_line_ending' });
}
