import { randomBytes } from 'node:crypto';
import { createTransport } from 'nodemailer';

export interface ClientOptions {
  /** Ports of the relays. */
  readonly relays: readonly number[];
  readonly ca: string;
  readonly key: string;
}

/** An application that sends through Nodemailer's pools, as many messages a second as it is told to. */
export class Client {
  /** Messages a second. */
  rate = 0;
  readonly #transports: readonly Transport[];
  readonly #timer: NodeJS.Timeout;
  #due = 0;
  #count = 0;

  constructor({ relays, ca, key }: ClientOptions) {
    this.#transports = relays.map(port =>
      createTransport({
        pool: true,
        host: '127.0.0.1',
        port,
        requireTLS: true,
        tls: { ca, servername: 'localhost' },
        auth: { user: 'apikey', pass: key },
        maxConnections: 4,
        maxMessages: 200,
      }),
    );
    this.#timer = setInterval(() => this.#tick(), TICK);
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const transport of this.#transports) transport.close();
  }

  #tick(): void {
    for (this.#due += (this.rate * TICK) / 1000; this.#due >= 1; this.#due -= 1) {
      const transport = this.#transports[this.#count++ % this.#transports.length] as Transport;
      // What is refused is what the dashboard is to show.
      transport.sendMail(message()).catch(() => {});
    }
  }
}

type Transport = ReturnType<typeof createTransport>;

/** Milliseconds. */
const TICK = 100;
const RECIPIENTS = 4_000;

/** Tries to log in with a key that nobody has. */
export async function logInWrongly({ relays: [port], ca }: ClientOptions): Promise<void> {
  const transport = createTransport({
    host: '127.0.0.1',
    port,
    requireTLS: true,
    tls: { ca, servername: 'localhost' },
    auth: { user: 'apikey', pass: `os_${randomBytes(16).toString('hex')}` },
  });
  await transport.verify().catch(() => {});
  transport.close();
}

export function chance(share: number): boolean {
  return Math.random() < share;
}

function message() {
  const to = Array.from({ length: chance(0.1) ? 3 : 1 }, recipient);
  // Of a domain that is not the owner's: refused.
  const from = chance(0.02) ? 'Shop <hello@elsewhere.test>' : 'Shop <hello@bench.test>';
  const html = `<p>Your order is on its way.</p>\r\n<p><a href="https://shop.test/orders/1">See it</a></p>\r\n`;
  const attachments = chance(0.03) ? [{ filename: 'invoice.pdf', content: randomBytes(400_000) }] : [];
  return { from, to, subject: 'Your order', text: 'Your order is on its way.\r\n', html, attachments };
}

function recipient(): string {
  return `person${Math.floor(Math.random() * RECIPIENTS)}@example.com`;
}
