import { after, describe, it } from 'node:test';
import { TOO_LARGE_FOR_SES } from '../support/opensend/sent.ts';
import { startRelay } from '../support/relay.ts';
import { SmtpClient } from '../support/smtp-client.ts';

const opensend = await startRelay({ after }, { queue: false, unsendable: TOO_LARGE_FOR_SES });
const standalone = await startRelay({ after }, { queue: false, settings: { pipeline: 'standalone' } });

const MIB = 1024 * 1024;
const envelope = { from: 'a@acme.test', to: ['b@example.com'] };
// The MIME reader counts each header line for 64 bytes at least.
const HEADER = `From: "${'A'.repeat(60)}" <a@acme.test>\r\n`;

/** A header of exactly so many bytes, the empty line behind it included, and a body. */
function withHeader(bytes: number): string {
  const field = (length: number) => `X-Filler: ${'x'.repeat(length - 12)}\r\n`;
  const rest = bytes - HEADER.length - 2;
  const full = Math.floor((rest - 80) / 900);
  return `${HEADER}${field(900).repeat(full)}${field(rest - full * 900)}\r\nHi`;
}

/** Multiparts in one another, so many levels below the message itself. */
function nested(depth: number): string {
  const opening = Array.from(
    { length: depth },
    (_, level) => `Content-Type: multipart/mixed; boundary=b${level}\r\n\r\n--b${level}\r\n`,
  );
  const closing = Array.from({ length: depth }, (_, level) => `\r\n--b${depth - 1 - level}--`);
  return `${HEADER}${opening.join('')}Content-Type: text/plain\r\n\r\nHi${closing.join('')}`;
}

function withParts(count: number): string {
  const part = '--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nx\r\n';
  return `${HEADER}Content-Type: multipart/mixed; boundary=b\r\n\r\n${part.repeat(count)}--b--`;
}

/** One Base64 attachment that has so many characters. */
function withAttachment(characters: number): Buffer {
  const head = `${HEADER}Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n`;
  const lines = Math.floor(characters / 76);
  const content = `${'A'.repeat(76)}\r\n`.repeat(lines) + 'A'.repeat(characters - lines * 76);
  return Buffer.from(head + content);
}

for (const [pipeline, relay] of Object.entries({ opensend, standalone })) {
  describe(`limits of a message's content: ${pipeline}`, () => {
    for (const [name, data, expected] of [
      ['a header of 1 MiB is taken', () => withHeader(MIB), '250 2.0.0'],
      ['a longer one is not', () => withHeader(MIB + 1), '552 5.3.4 Message header'],
      [
        'a header without an end is not',
        () => `From: a@acme.test\r\n${'X: y\r\n'.repeat(300_000)}`,
        '552 5.3.4 Message header',
      ],
      ['parts nested 100 deep are taken', () => nested(100), '250 2.0.0'],
      ['101 deep they are not', () => nested(101), '554 5.6.0 MIME parts are nested deeper than 100'],
      ['ten thousand deep they are not either', () => nested(10_000), '554 5.6.0'],
      ['a thousand parts less the multipart itself are taken', () => withParts(999), '250 2.0.0'],
      ['more are not', () => withParts(1001), '554 5.6.0 The message has more than 1000 MIME parts'],
      [
        'attachments of 41,943,040 bytes after Base64',
        () => withAttachment(41_943_040),
        pipeline === 'opensend' ? '250 2.0.0' : '552 5.3.4 The message',
      ],
      ['attachments of four more', () => withAttachment(41_943_044), '552 5.3.4 Attachments'],
    ] as const) {
      it(name, async t => {
        const client = await SmtpClient.loggedIn(t, relay);
        await client.transact({ ...envelope, data: data() }, expected);
        await client.command('NOOP', '250 2.0.0');
      });
    }
  });
}
