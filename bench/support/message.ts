import { randomBytes } from 'node:crypto';

/** What one connection sends again and again: everything after DATA, as it goes over the wire. */
export interface WireMessage {
  /** Dot-stuffed, with CRLF . CRLF at its end. */
  readonly bytes: Buffer;
  /** Size of the message itself. */
  readonly size: number;
  /** Gives the next copy a Subject and a Message-ID of its own. */
  renumber(): void;
}

export interface MessageShape {
  /** `text`: one short plain text; `attachment`: a text and one Base64 attachment in a multipart/mixed. */
  readonly kind: 'text' | 'attachment';
  /** Bytes of the whole message, met to within one line. */
  readonly size: number;
}

export const SENDER = 'hello@bench.test';
export const RECIPIENT = 'recipient@example.test';

const END = '\r\n.\r\n';
const COUNTER = '000000000000';
const BOUNDARY = 'bench-boundary-7f0c1d';
const TEXT_LINE = 'The five boxing wizards jump quickly over whatever lies in their way.\r\n';

/**
 * @param name tells this connection's messages from all others
 */
export function buildMessage(shape: MessageShape, name: string): WireMessage {
  const header = [
    `From: Bench <${SENDER}>`,
    `To: Recipient <${RECIPIENT}>`,
    `Subject: ${name} ${COUNTER}`,
    `Message-ID: <${name}.${COUNTER}@bench.test>`,
    `Date: ${new Date().toUTCString().replace('GMT', '+0000')}`,
    'MIME-Version: 1.0',
    '',
  ].join('\r\n');
  const content =
    shape.kind === 'text' ? textContent(shape.size - header.length) : mixedContent(shape.size - header.length);
  const message = Buffer.from(header + content, 'latin1');
  const bytes = Buffer.concat([message, Buffer.from(END, 'latin1')]);
  const counters = [bytes.indexOf(COUNTER), bytes.indexOf(COUNTER, bytes.indexOf('Message-ID'))];
  let count = 0;
  return {
    bytes,
    // The CRLF before the dot belongs to the message.
    size: message.length + 2,
    renumber() {
      const digits = String(++count).padStart(COUNTER.length, '0');
      for (const at of counters) bytes.write(digits, at, 'latin1');
    },
  };
}

function textContent(size: number): string {
  const head = 'Content-Type: text/plain; charset=utf-8\r\n\r\n';
  const lines = Math.max(1, Math.round((size - head.length) / TEXT_LINE.length));
  return (head + TEXT_LINE.repeat(lines)).slice(0, -2);
}

function mixedContent(size: number): string {
  const head = [
    `Content-Type: multipart/mixed; boundary="${BOUNDARY}"`,
    '',
    `--${BOUNDARY}`,
    'Content-Type: text/plain; charset=utf-8',
    '',
    TEXT_LINE.repeat(10),
    `--${BOUNDARY}`,
    'Content-Type: application/pdf; name="report.pdf"',
    'Content-Disposition: attachment; filename="report.pdf"',
    'Content-Transfer-Encoding: base64',
    '',
    '',
  ].join('\r\n');
  const tail = `\r\n--${BOUNDARY}--`;
  const lines = Math.floor((size - head.length - tail.length) / 78);
  const base64 = randomBytes(lines * 57).toString('base64');
  return head + (base64.match(/.{76}/g) ?? []).join('\r\n') + tail;
}
