import { randomUUID } from 'node:crypto';
import { createTransport } from 'nodemailer';

export interface MailersOptions {
  readonly port: number;
  readonly ca: string;
  readonly key: string;
  readonly pools: number;
  /** Of each pool. */
  readonly connections: number;
}

export interface MailersResult {
  /** What `sendMail` resolved for. */
  readonly accepted: number;
  /** What `sendMail` rejected with, and how often. */
  readonly errors: ReadonlyMap<string, number>;
  /** Milliseconds that each message took, sorted. */
  readonly times: readonly number[];
}

/** Applications that send all the time, each through a Nodemailer pool with its default behaviour. */
export class Mailers {
  readonly #stopped = new AbortController();
  readonly #errors = new Map<string, number>();
  readonly #times: number[] = [];
  readonly #running: Promise<void>;

  constructor({ port, ca, key, pools, connections }: MailersOptions) {
    const run = async (): Promise<void> => {
      const transport = createTransport({
        pool: true,
        host: '127.0.0.1',
        port,
        requireTLS: true,
        tls: { ca, servername: 'localhost' },
        auth: { user: 'apikey', pass: key },
        maxConnections: connections,
      });
      // More in the queue than connections, as an application has that sends a newsletter.
      await Promise.all(Array.from({ length: connections * 2 }, () => this.#keepSending(transport)));
      transport.close();
    };
    this.#running = Promise.all(Array.from({ length: pools }, run)).then(() => undefined);
  }

  get accepted(): number {
    return this.#times.length;
  }

  /** Resolves when no message is under way any more. */
  async stop(): Promise<MailersResult> {
    this.#stopped.abort();
    await this.#running;
    return {
      accepted: this.#times.length,
      errors: this.#errors,
      times: this.#times.toSorted((one, other) => one - other),
    };
  }

  async #keepSending(transport: ReturnType<typeof createTransport>): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      const began = performance.now();
      try {
        const subject = randomUUID();
        await transport.sendMail({ from: 'a@bench.test', to: 'b@example.com', subject, text: 'x'.repeat(1_000) });
        this.#times.push(performance.now() - began);
      } catch (error) {
        const { message } = error as Error;
        this.#errors.set(message, (this.#errors.get(message) ?? 0) + 1);
      }
    }
  }
}
