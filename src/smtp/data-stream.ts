import type { SMTPConnection } from 'smtp-server/lib/smtp-connection.js';
import { SMTPStream } from 'smtp-server/lib/smtp-stream.js';
import type { Refusal } from '../message/refusal.ts';
import { type DataPace, tooSlowRefusal, watchPace } from './data-watch.ts';
import type { IncomingMessage } from './incoming-message.ts';

/** The client went away before its message had ended. Nobody is there to be told. */
export class ClientGone extends Error {}

/** Where the library keeps the stream of a message: what it asks of one that carries no bytes. */
type DataSignal = Exclude<SMTPConnection['_dataStream'], false | null>;

export interface Receiving {
  readonly pace: DataPace;
  /** Is given what the library destroys when the connection is lost. */
  readonly onStart: (signal: DataSignal) => void;
  /** Is told once, at most, when the message does not keep the pace. */
  readonly onTooSlow: (refusal: Refusal) => void;
}

/**
 * The library's command parser with another way through DATA: the bytes go to an `IncomingMessage` and not through a
 * stream, which costs more than all else on a small message.
 */
export class DataStream extends SMTPStream {
  #message: IncomingMessage | null = null;
  #arrived: () => void = () => {};

  /**
   * Takes what follows as a message's text, up to its end.
   *
   * @returns resolves when the message has arrived in full; rejects with `ClientGone`
   */
  async receive(message: IncomingMessage, { pace, onStart, onTooSlow }: Receiving): Promise<void> {
    this.#message = message;
    this._dataMode = true;
    const { promise: arrived, resolve, reject } = Promise.withResolvers<void>();
    this.#arrived = resolve;
    const signal = { destroy: () => reject(new ClientGone()), listenerCount: () => 0, writableEnded: false };
    onStart(signal as unknown as DataSignal);
    const endWatch = watchPace(
      pace,
      () => message.size,
      why => this.#message && onTooSlow(tooSlowRefusal(why)),
    );
    await arrived.finally(endWatch);
  }

  override _feedDataStream(chunk: Buffer, done: (error?: Error | null) => void): void {
    const end = this.#message?.push(chunk) ?? -1;
    if (end === -1) {
      done();
    } else {
      this.#message = null;
      this._dataMode = false;
      // What was sent behind the message waits until it has its reply: `continue()`.
      this._continueCallback = () => this._write(chunk.subarray(end), 'buffer', done);
      this.#arrived();
    }
  }
}
