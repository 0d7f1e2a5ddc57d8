import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import type { TestRelay } from './relay.ts';

/** A reply of the server (RFC 5321 section 4.2). */
export interface Reply {
  readonly code: number;
  /** The text of each line, without the code; an enhanced status code is part of it. */
  readonly lines: readonly string[];
  /** The last line, code included: `250 2.1.0 Accepted`. */
  readonly last: string;
}

export interface ClientOptions {
  readonly port?: number;
  /** TLS from the first byte. */
  readonly implicitTls?: boolean;
  readonly tls?: tls.ConnectionOptions;
  /** Bytes in front of all others, such as a PROXY header. */
  readonly preamble?: Buffer | string;
}

type Server = Pick<TestRelay, 'host' | 'port' | 'ca'>;

interface TestContext {
  after(fn: () => void): void;
}

/** Milliseconds. */
const PATIENCE = 60_000;
const REPLY = /^(?:\d{3}-.*\r\n)*\d{3}(?: .*)?\r\n/;

/** A client that sends exactly what it is told and shows exactly what comes back. */
export class SmtpClient {
  readonly #server: Server;
  #socket: net.Socket;
  /** Below any TLS. */
  readonly #connection: net.Socket;
  #received = '';
  #ended = false;
  #changed: () => void = () => {};
  readonly #closed = Promise.withResolvers<void>();

  private constructor(server: Server, socket: net.Socket) {
    this.#server = server;
    this.#socket = socket;
    this.#connection = socket;
    this.#listen(socket);
  }

  /** Connects and sends nothing but the preamble. Disconnected when the test ends. */
  static async connect(t: TestContext, server: Server, options: ClientOptions = {}): Promise<SmtpClient> {
    const socket = net.connect(options.port ?? server.port, server.host).setNoDelay();
    t.after(() => void socket.destroy());
    await once(socket, 'connect');
    if (options.preamble) socket.write(options.preamble);
    const client = new SmtpClient(server, socket);
    if (options.implicitTls) await client.handshake(options.tls);
    return client;
  }

  /** Connects and greets: the state in which a client of its port sends its first command of interest. */
  static async greeted(t: TestContext, server: Server, options: ClientOptions = {}): Promise<SmtpClient> {
    const client = await SmtpClient.connect(t, server, options);
    await client.expect('220 ');
    await client.command('EHLO client.test', '250 ');
    return client;
  }

  /** The same, behind STARTTLS where the server has it. */
  static async secured(t: TestContext, server: Server, options: ClientOptions = {}): Promise<SmtpClient> {
    const client = await SmtpClient.greeted(t, server, options);
    if (server.ca === '' || options.implicitTls) return client;
    await client.startTls(options.tls);
    await client.command('EHLO client.test', '250 ');
    return client;
  }

  /** The same, logged in with the owner's key. */
  static async loggedIn(
    t: TestContext,
    server: Server & Pick<TestRelay, 'owner'>,
    options: ClientOptions = {},
  ): Promise<SmtpClient> {
    const client = await SmtpClient.secured(t, server, options);
    await client.logIn(server.owner.apiKey);
    return client;
  }

  /** Resolves when the server has ended the connection; rejects where it does not. */
  get closed(): Promise<void> {
    const { promise, reject } = Promise.withResolvers<void>();
    setTimeout(() => reject(new Error(`still open after ${PATIENCE} ms`)), PATIENCE).unref();
    return Promise.race([this.#closed.promise, promise]);
  }

  get socket(): net.Socket {
    return this.#socket;
  }

  /** What was received and not read. */
  get unread(): string {
    return this.#received;
  }

  /** Sends a line, reads the reply. @param expected what its last line begins with */
  async command(line: string, expected: string): Promise<Reply> {
    this.#socket.write(`${line}\r\n`);
    return this.expect(expected, line);
  }

  /** Reads the next reply. @param expected what its last line begins with */
  async expect(expected: string, to = ''): Promise<Reply> {
    const reply = await this.reply();
    assert.equal(reply.last.slice(0, expected.length), expected, `reply to "${to}": ${reply.last}`);
    return reply;
  }

  /** Reads the next reply, whatever it is. @param patience milliseconds to wait for it */
  async reply(patience = PATIENCE): Promise<Reply> {
    const deadline = AbortSignal.timeout(patience);
    for (;;) {
      const [raw] = REPLY.exec(this.#received) ?? [];
      if (raw !== undefined) {
        this.#received = this.#received.slice(raw.length);
        const lines = raw.slice(0, -2).split('\r\n');
        const last = lines.at(-1) as string;
        return { code: Number(last.slice(0, 3)), lines: lines.map(line => line.slice(4)), last };
      }
      const got = JSON.stringify(this.#received);
      if (this.#ended) throw new Error(`the connection ended; received: ${got}`);
      if (deadline.aborted) throw new Error(`no reply within ${patience} ms; received: ${got}`);
      await this.#nextChange(deadline);
    }
  }

  /** Sends bytes in packets of exactly these cuts: each is on its way before the next is written. */
  async send(...packets: (Buffer | string)[]): Promise<void> {
    for (const packet of packets) {
      await new Promise<void>((resolve, reject) => {
        this.#socket.write(packet, error => (error ? reject(error) : resolve()));
      });
      // Server and client share an event loop: in its next turn the server has read.
      await new Promise(setImmediate);
      await new Promise(setImmediate);
    }
  }

  async startTls(options: tls.ConnectionOptions = {}): Promise<void> {
    await this.command('STARTTLS', '220 ');
    await this.handshake(options);
  }

  /** The TLS handshake alone, on the socket as it is. */
  async handshake(options: tls.ConnectionOptions = {}): Promise<void> {
    this.#socket.removeAllListeners();
    const socket = tls.connect({ socket: this.#socket, ca: this.#server.ca, servername: 'localhost', ...options });
    this.#socket = socket;
    await once(socket, 'secureConnect');
    this.#listen(socket);
  }

  /** AUTH PLAIN with an initial response. */
  async logIn(key: string, expected = '235 2.7.0'): Promise<void> {
    await this.command(`AUTH PLAIN ${base64(`\0apikey\0${key}`)}`, expected);
  }

  /** A whole transaction up to the reply behind DATA. @param data with CRLF line ends, dots as they shall be sent */
  async transact(message: Transaction, expected: string): Promise<Reply> {
    await this.command(`MAIL FROM:<${message.from}>`, '250 ');
    for (const recipient of message.to) await this.command(`RCPT TO:<${recipient}>`, '250 ');
    await this.command('DATA', '354 ');
    this.#socket.write(message.data);
    this.#socket.write('\r\n.\r\n');
    return this.expect(expected, 'DATA');
  }

  /** Ends the client's side only. */
  end(): void {
    this.#socket.end();
  }

  /** Drops the connection without a word. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** Drops it by a TCP reset. */
  reset(): void {
    this.#connection.resetAndDestroy();
  }

  #listen(socket: net.Socket): void {
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      this.#received += text;
      this.#changed();
    });
    // A connection that the server resets ends as well.
    socket.on('error', () => {});
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.#ended = true;
        this.#closed.resolve();
        this.#changed();
      });
    }
  }

  #nextChange(deadline: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#changed = resolve;
    deadline.addEventListener('abort', () => resolve(), { once: true });
    return promise;
  }
}

export interface Transaction {
  readonly from: string;
  readonly to: readonly string[];
  readonly data: Buffer | string;
}

/** A small message that the relay accepts from its owner. No line end behind its last line. */
export function messageFrom(from: string, { subject = 'Hello', body = 'Hi' } = {}): string {
  return `From: ${from}\r\nTo: someone@example.com\r\nSubject: ${subject}\r\n\r\n${body}`;
}

/** The id behind `250 2.0.0 Ok: queued as`. */
export function emailIdOf(reply: Reply): string {
  const [, id] = / Ok: queued as ([0-9a-f-]{36})$/.exec(reply.last) ?? [];
  assert.ok(id, `no email id in: ${reply.last}`);
  return id;
}

export function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
