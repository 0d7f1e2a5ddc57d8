import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

export interface Target {
  readonly host: string;
  readonly port: number;
  /** PEM of the authority to trust; STARTTLS is used where given. */
  readonly ca?: string;
  /** To log in with; without one nobody logs in. */
  readonly key?: string;
}

type ReplyListener = (code: number, text: string) => void;

const LF = 0x0a;
const HYPHEN = 0x2d;
const ZERO = 0x30;

/**
 * One SMTP connection that costs its process little: one reading buffer for its whole life, replies recognised in place,
 * no promise and no string on the way of a message.
 */
export class Connection {
  /** Called once a reply, after its last line. */
  onReply: ReplyListener = () => {};
  /** Called at most once. */
  onLost: (reason: string) => void = () => {};
  #socket: Socket;
  #partial: Buffer | undefined;

  private constructor(target: Target) {
    const buffer = Buffer.allocUnsafe(4096);
    const read = (length: number): boolean => {
      this.#take(buffer.subarray(0, length));
      return true;
    };
    const address = { host: target.host, port: target.port, noDelay: true };
    // The reading buffer of our own has to go when TLS takes the socket over, so only plain connections have one.
    this.#socket =
      target.ca === undefined ? connect({ ...address, onread: { buffer, callback: read } }) : connect(address);
    if (target.ca !== undefined) this.#socket.on('data', chunk => this.#take(chunk));
    this.#watch();
  }

  /** Connects, greets, starts TLS and logs in where wanted. @throws Error that quotes the reply that was not expected */
  static async open(target: Target): Promise<Connection> {
    const connection = new Connection(target);
    await connection.#expect(220);
    await connection.command('EHLO bench.test', 250);
    if (target.ca !== undefined) {
      await connection.command('STARTTLS', 220);
      connection.#startTls(target.ca);
      await connection.command('EHLO bench.test', 250);
    }
    if (target.key === undefined) return connection;
    const credentials = Buffer.from(`\0apikey\0${target.key}`).toString('base64');
    await connection.command(`AUTH PLAIN ${credentials}`, 235);
    return connection;
  }

  /** Sends one command and waits for its reply, which must have this code. */
  async command(line: string, code: number): Promise<void> {
    const reply = this.#expect(code);
    this.#socket.write(`${line}\r\n`);
    await reply;
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  close(): void {
    this.onLost = () => {};
    this.#socket.destroy();
  }

  #expect(code: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.onLost = reason => reject(new Error(`connection lost: ${reason}`));
      this.onReply = (seen, text) => {
        if (seen === code) resolve();
        else reject(new Error(`expected ${code}, got: ${text}`));
      };
    });
  }

  #startTls(ca: string): void {
    for (const event of ['data', 'error', 'close']) this.#socket.removeAllListeners(event);
    this.#socket = connectTls({ socket: this.#socket, ca, servername: 'localhost' });
    this.#socket.on('data', chunk => this.#take(chunk));
    this.#watch();
  }

  #watch(): void {
    let reason = 'closed by the relay';
    this.#socket.on('error', error => {
      reason = error.message;
    });
    this.#socket.on('close', () => this.onLost(reason));
  }

  #take(chunk: Buffer): void {
    let bytes = chunk;
    if (this.#partial) {
      bytes = Buffer.concat([this.#partial, chunk]);
      this.#partial = undefined;
    }
    let start = 0;
    for (let end = bytes.indexOf(LF); end !== -1; end = bytes.indexOf(LF, start)) {
      const first = start;
      start = end + 1;
      if (bytes[first + 3] === HYPHEN) continue;
      const code = digit(bytes[first]) * 100 + digit(bytes[first + 1]) * 10 + digit(bytes[first + 2]);
      // The text is wanted only of what went wrong or belongs to the log-in.
      this.onReply(code, code === 250 || code === 354 ? '' : bytes.toString('latin1', first, end).trimEnd());
    }
    if (start < bytes.length) this.#partial = Buffer.from(bytes.subarray(start));
  }
}

function digit(byte: number | undefined): number {
  return (byte ?? 0) - ZERO;
}
