import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTransport } from 'nodemailer';

export interface MailersOptions {
  /** 127.0.0.1 unless given. */
  readonly host?: string;
  readonly port: number;
  /** PEM text. */
  readonly ca: string;
  /** The name in the certificate; localhost unless given. */
  readonly servername?: string;
  readonly key: string;
  /** `a@bench.test` unless given. */
  readonly from?: string;
  readonly pools: number;
  /** Of each pool. */
  readonly connections: number;
  /** Milliseconds from one message of a connection to its next; none unless given. */
  readonly pause?: number;
}

export interface MailersResult {
  /** What `sendMail` resolved for. */
  readonly accepted: number;
  /** The subjects of those. */
  readonly subjects: ReadonlySet<string>;
  /** What `sendMail` rejected with, and how often. */
  readonly errors: ReadonlyMap<string, number>;
  /** Milliseconds that each message took, sorted. */
  readonly times: readonly number[];
}

/** Applications that send all the time, each through a Nodemailer pool with its default behaviour. */
export class Mailers {
  readonly #stopped = new AbortController();
  readonly #errors = new Map<string, number>();
  readonly #subjects = new Set<string>();
  readonly #times: number[] = [];
  readonly #running: Promise<void>;
  readonly #options: MailersOptions;

  constructor(options: MailersOptions) {
    this.#options = options;
    const { host = '127.0.0.1', port, ca, servername = 'localhost', key, pools, connections } = options;
    const run = async (): Promise<void> => {
      const transport = createTransport({
        pool: true,
        host,
        port,
        requireTLS: true,
        tls: { ca, servername },
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

  /** How many messages were rejected so far, for whatever reason. */
  get failed(): number {
    return [...this.#errors.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Resolves when no message is under way any more. */
  async stop(): Promise<MailersResult> {
    this.#stopped.abort();
    await this.#running;
    return {
      accepted: this.#times.length,
      subjects: this.#subjects,
      errors: this.#errors,
      times: this.#times.toSorted((one, other) => one - other),
    };
  }

  async #keepSending(transport: ReturnType<typeof createTransport>): Promise<void> {
    const { from = 'a@bench.test', pause = 0 } = this.#options;
    while (!this.#stopped.signal.aborted) {
      const began = performance.now();
      try {
        const subject = randomUUID();
        await transport.sendMail({ from, to: 'b@example.com', subject, text: 'x'.repeat(1_000) });
        this.#subjects.add(subject);
        this.#times.push(performance.now() - began);
      } catch (error) {
        const { message } = error as Error;
        this.#errors.set(message, (this.#errors.get(message) ?? 0) + 1);
      }
      // Twice, since each connection has two senders.
      if (pause > 0) await sleep(2 * pause, undefined, { signal: this.#stopped.signal }).catch(() => {});
    }
  }
}
