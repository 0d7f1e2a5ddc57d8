import { once } from 'node:events';
import type net from 'node:net';
import { pino } from 'pino';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js';
import type { OutgoingMessage, Transport } from '../../../src/delivery/transport/contract.ts';
import { createSmtpTransport, type SmtpTransportOptions } from '../../../src/delivery/transport/smtp/transport.ts';

interface TestContext {
  after(fn: () => Promise<void> | void): void;
}

/** A reply (`451 4.3.0 later`), or `close` for a connection that breaks, `hang` for no answer, or `drip` for one that never ends; nothing: as usual. */
export type Answer = string | undefined;

/**
 * What the smarthost answers.
 *
 * @param step `CONNECT`, the first word of a command, or `.` for the end of the message
 * @param line the whole command
 * @param connection 1 for the first
 */
export type Script = (step: string, line: string, connection: number) => Answer;

export interface ReceivedMessage {
  readonly connection: number;
  readonly from: string;
  readonly recipients: readonly string[];
  readonly raw: Buffer;
}

export interface Smarthost {
  readonly port: number;
  readonly messages: readonly ReceivedMessage[];
  /** The commands of all connections, without the words of AUTH: `1 MAIL FROM:<a@acme.test>`. */
  readonly commands: readonly string[];
  /** Connections that are open now. */
  readonly open: number;
  /** Breaks all connections. */
  disconnect(): void;
  /** Sends a line that nobody asked for to all connections. */
  announce(line: string): void;
}

/** A real SMTP server that does what it is told. Ended with the test. */
export async function startSmarthost(
  t: TestContext,
  script: Script = () => undefined,
  options: SMTPServerOptions = {},
): Promise<Smarthost> {
  const messages: ReceivedMessage[] = [];
  const commands: string[] = [];
  let count = 0;

  class Connection extends SMTPConnection {
    readonly number = ++count;

    override init(): void {
      const answer = script('CONNECT', '', this.number);
      if (answer === undefined) super.init();
      else if (answer === 'close') this._socket.destroy();
      else if (answer === 'drip') this.drip();
      else if (answer !== 'hang') this._socket.end(`${answer}\r\n`);
    }

    override _onCommand(command: Buffer, callback?: () => void): void {
      const line = command.toString();
      const step = line.split(' ')[0]?.toUpperCase() ?? '';
      commands.push(`${this.number} ${step === 'AUTH' ? line.split(' ').slice(0, 2).join(' ') : line}`);
      const answer = script(step, line, this.number);
      if (answer === undefined) super._onCommand(command, callback);
      else this.answer(answer, callback ?? (() => {}));
    }

    drip(): void {
      const dripping = setInterval(() => this._socket.write('250-wait\r\n'), 100);
      this._socket.once('close', () => clearInterval(dripping));
    }

    answer(answer: string, callback: () => void): void {
      if (answer === 'close') return void this._socket.destroy();
      if (answer === 'hang') return;
      if (answer === 'drip') return void this.drip();
      this._socket.write(`${answer}\r\n`);
      if (answer.startsWith('421')) this._socket.end();
      else callback();
    }
  }

  class Server extends SMTPServer {
    override connect(socket: net.Socket, connectOptions?: ConstructorParameters<typeof SMTPConnection>[2]): void {
      const connection = new Connection(this, socket, connectOptions);
      this.connections.add(connection);
      connection.on('error', () => {});
      connection.init();
    }
  }

  const server = new Server({
    name: 'smarthost.test',
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    hideENHANCEDSTATUSCODES: true,
    disableReverseLookup: true,
    onAuth: ({ username, password }, _session, callback) => {
      if (username === 'relay' && password === 'pa55word') callback(null, { user: username });
      else callback(Object.assign(new Error('5.7.8 Authentication failed'), { responseCode: 535 }));
    },
    onData: (stream, session, callback) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const connection = [...server.connections].find(({ id }) => id === session.id) as Connection;
        const answer = script('.', '', connection.number);
        if (answer === 'hang') return;
        if (answer === 'drip') return void connection.drip();
        if (answer === 'close') return void connection._socket.destroy();
        const [, code, text] = /^(\d{3}) (.*)$/.exec(answer ?? '250 2.0.0 Ok: queued as 4F2A1B') ?? [];
        if (!code?.startsWith('2')) return callback(Object.assign(new Error(text), { responseCode: Number(code) }));
        const { mailFrom, rcptTo } = session.envelope;
        messages.push({
          connection: connection.number,
          from: mailFrom ? mailFrom.address : '',
          recipients: rcptTo.map(({ address }) => address),
          raw: Buffer.concat(chunks),
        });
        callback(null, text);
      });
    },
    ...options,
  });
  server.on('error', () => {});
  server.server.listen(0, '127.0.0.1');
  await once(server.server, 'listening');
  const disconnect = (): void => {
    for (const connection of server.connections) connection._socket.destroy();
  };
  t.after(async () => {
    disconnect();
    await new Promise<void>(resolve => server.close(() => resolve()));
  });
  return {
    port: (server.server.address() as net.AddressInfo).port,
    messages,
    commands,
    get open() {
      return server.connections.size;
    },
    disconnect,
    announce(line) {
      for (const connection of server.connections) connection._socket.end(`${line}\r\n`);
    },
  };
}

/** A transport to that smarthost, in clear text unless given otherwise. Closed with the test. */
export function connectTo(
  t: TestContext,
  { port }: Pick<Smarthost, 'port'>,
  options: Partial<SmtpTransportOptions> = {},
): Transport {
  const transport = createSmtpTransport({
    host: '127.0.0.1',
    port,
    security: 'none',
    user: '',
    password: '',
    passwordFile: '',
    connections: 2,
    timeout: 60_000,
    caPath: '',
    name: 'relay.test',
    logger: pino({ level: 'silent' }),
    ...options,
  });
  t.after(() => transport.close());
  return transport;
}

export function outgoing(overrides: Partial<OutgoingMessage> = {}): OutgoingMessage {
  return {
    emailId: '6f1c2d1e-0000-4000-8000-000000000001',
    userId: 'user',
    raw: Buffer.from('From: a@acme.test\r\nSubject: Hello\r\n\r\nHello\r\n'),
    reversePath: 'bounces@acme.test',
    from: 'a@acme.test',
    recipients: ['ann@example.com'],
    bodyType: '7BIT',
    smtpUtf8: false,
    tags: [],
    domain: null,
    ...overrides,
  };
}

/** A signal that is never given. */
export const never = new AbortController().signal;
