import type { Connection } from './connection.ts';
import { RECIPIENT, SENDER, type WireMessage } from './message.ts';

export interface Attempt {
  /** `performance.now()` when the message was due, and when its last reply came; ms. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** The reply that was not the expected one; undefined when the message was accepted with 250. */
  readonly refusal: string | undefined;
}

const MAIL = Buffer.from(`MAIL FROM:<${SENDER}>\r\n`);
const RCPT = Buffer.from(`RCPT TO:<${RECIPIENT}>\r\n`);
const DATA = Buffer.from('DATA\r\n');
const RSET = Buffer.from('RSET\r\n');
const ENVELOPE = Buffer.concat([MAIL, RCPT, DATA]);

/** Replies to MAIL, RCPT, DATA and the message. */
const EXPECTED = [250, 250, 354, 250];
const LAST = EXPECTED.length - 1;

const RETRY_MS = 100;

/** Sends messages over one connection, one at a time. */
export class Sender {
  readonly #connection: Connection;
  readonly #message: WireMessage;
  readonly #commands: readonly Buffer[];
  readonly #onDone: (attempt: Attempt) => void;
  #step = 0;
  #startedAt = 0;
  #refusal: string | undefined;

  /**
   * @param pipelining MAIL, RCPT and DATA in one packet (RFC 2920); otherwise each waits for the reply to the one before
   * @param onDone called when a message has its last reply; may start the next one
   */
  constructor(connection: Connection, message: WireMessage, pipelining: boolean, onDone: (attempt: Attempt) => void) {
    this.#connection = connection;
    this.#message = message;
    this.#commands = pipelining ? [ENVELOPE] : [MAIL, RCPT, DATA];
    this.#onDone = onDone;
    connection.onReply = (code, text) => this.#reply(code, text);
  }

  /** @param dueAt when it should have been sent, where that was earlier than now */
  send(dueAt = performance.now()): void {
    this.#startedAt = dueAt;
    this.#step = 0;
    this.#message.renumber();
    this.#connection.write(this.#commands[0] as Buffer);
  }

  #reply(code: number, text: string): void {
    if (this.#refusal !== undefined) this.#recovered(code);
    else if (code === EXPECTED[this.#step]) this.#advance();
    else this.#refused(text || String(code));
  }

  #advance(): void {
    this.#step++;
    if (this.#step === EXPECTED.length) {
      this.#done(undefined);
      return;
    }
    const next = this.#step === LAST ? this.#message.bytes : this.#commands[this.#step];
    if (next) this.#connection.write(next);
  }

  #refused(text: string): void {
    // Replies to the other commands of a pipelined envelope are still to come: not worth following in a measurement.
    if (this.#commands.length === 1 && this.#step < LAST) throw new Error(`refused while pipelining: ${text}`);
    if (this.#step === LAST) {
      this.#done(text);
    } else {
      this.#refusal = text;
      this.#connection.write(RSET);
    }
  }

  /** After RSET. A relay that has no room just now is not asked again at once. */
  #recovered(code: number): void {
    const refusal = `${this.#refusal}${code === 250 ? '' : ` (RSET: ${code})`}`;
    this.#refusal = undefined;
    setTimeout(() => this.#done(refusal), RETRY_MS);
  }

  #done(refusal: string | undefined): void {
    this.#onDone({ startedAt: this.#startedAt, endedAt: performance.now(), refusal });
  }
}
