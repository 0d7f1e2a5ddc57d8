import { Abandoned } from '../../flow/cancellation.ts';
import { OutcomeUnknown } from '../../postgres/errors.ts';
import type { MessageReceived, Session } from '../session/session.ts';
import type { IncomingMessage } from './incoming-message.ts';
import type { DataStream, Receiving } from './stream.ts';

/** What a message needs of its connection. */
export interface DataConnection {
  readonly client: Session;
  readonly isClosed: boolean;
  /** What is known of the message beside its text: what MAIL and RCPT said, and how it came. */
  described(): Pick<MessageReceived, 'envelope' | 'arrival'>;
  send(code: number, text: string): void;
  refuse(step: 'DATA', error: unknown): void;
  /** Ends the connection without a word. */
  destroy(): void;
}

/** One message, from the 354 to its reply. */
export class DataExchange {
  readonly #connection: DataConnection;
  readonly #callOff = new AbortController();
  #owesReply = false;

  constructor(connection: DataConnection) {
    this.#connection = connection;
  }

  /** Whether the message has arrived in full and waits for its reply. */
  get owesReply(): boolean {
    return this.#owesReply;
  }

  /** Has the message stored no more, where it is not too late for that: its client has gone, or is cut off. */
  callOff(why: Error): void {
    this.#callOff.abort(why);
  }

  /** Receives the message, hands it over, and tells the client what came of it. */
  async run(parser: DataStream, message: IncomingMessage, receiving: Receiving): Promise<void> {
    const { client } = this.#connection;
    try {
      await parser.receive(message, receiving);
      this.#owesReply = true;
      client.transcript?.note(`a message of ${message.size} bytes`, 'receive');
      if (this.#connection.isClosed) this.callOff(new Abandoned());
      const { envelope, arrival } = this.#connection.described();
      const { beganAt } = message;
      const received = { envelope, arrival, ...message.take(), beganAt };
      const text = await client.message(received, this.#callOff);
      this.#connection.send(250, `2.0.0 ${text}`);
    } catch (error) {
      this.#answer(error);
    } finally {
      message.release();
      this.#owesReply = false;
    }
  }

  #answer(error: unknown): void {
    const { client } = this.#connection;
    if (error instanceof Abandoned) {
      if (this.#owesReply) client.messageAbandoned();
      return;
    }
    client.messageRefused(error);
    // Whoever is cut off is not told that nothing is stored where that is not known.
    if (this.#callOff.signal.aborted && error instanceof OutcomeUnknown) this.#connection.destroy();
    else this.#connection.refuse('DATA', error);
  }
}
