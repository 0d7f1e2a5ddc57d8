import { randomUUID } from 'node:crypto';
import type { TestRelay } from '../../support/relay.ts';
import { base64, messageFrom, type Reply, SmtpClient } from '../../support/smtp-client.ts';

interface TestContext {
  after(fn: () => void): void;
}

type Server = Pick<TestRelay, 'host' | 'port' | 'ca' | 'owner'>;

/** What became of the messages that several sessions sent. */
export interface SentMail {
  /** Email id -> subject, for each 250. */
  readonly accepted: Map<string, string>;
  /** All replies that were neither 2xx nor 3xx. */
  readonly refusals: Reply[];
  /** Subjects without a 250. */
  readonly unaccepted: Set<string>;
}

const QUEUED = /^250 2\.0\.0 Ok: queued as ([0-9a-f-]{36})$/;

/** Sends over several sessions at once, one message after the other, as a client that never gives up, until aborted. */
export class Senders {
  readonly sent: SentMail = { accepted: new Map(), refusals: [], unaccepted: new Set() };
  readonly #stopped = new AbortController();
  readonly #sessions: Promise<void>[];

  constructor(t: TestContext, server: Server, sessions: number) {
    this.#sessions = Array.from({ length: sessions }, () => this.#keepSending(t, server));
  }

  /** Resolves when no message is under way any more. */
  async stop(): Promise<SentMail> {
    this.#stopped.abort();
    await Promise.all(this.#sessions);
    return this.sent;
  }

  async #keepSending(t: TestContext, server: Server): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      const client = await SmtpClient.secured(t, server);
      if (await this.#say(client, `AUTH PLAIN ${base64(`\0apikey\0${server.owner.apiKey}`)}`, 235)) {
        while (!this.#stopped.signal.aborted) await this.#sendOne(client);
      }
      client.destroy();
    }
  }

  async #sendOne(client: SmtpClient): Promise<void> {
    const subject = randomUUID();
    this.sent.unaccepted.add(subject);
    const from = 'a@acme.test';
    const ready =
      (await this.#say(client, `MAIL FROM:<${from}>`, 250)) &&
      (await this.#say(client, 'RCPT TO:<b@example.com>', 250)) &&
      (await this.#say(client, 'DATA', 354));
    if (!ready) return void (await this.#say(client, 'RSET', 250));
    const reply = await this.#say(client, `${messageFrom(from, { subject })}\r\n.`, 250);
    const [, id] = QUEUED.exec(reply?.last ?? '') ?? [];
    if (id === undefined) return;
    this.sent.accepted.set(id, subject);
    this.sent.unaccepted.delete(subject);
  }

  /** @returns the reply if its code is the expected one; any other is noted */
  async #say(client: SmtpClient, line: string, code: number): Promise<Reply | null> {
    client.socket.write(`${line}\r\n`);
    const reply = await client.reply();
    if (reply.code === code) return reply;
    this.sent.refusals.push(reply);
    return null;
  }
}
