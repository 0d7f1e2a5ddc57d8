import { randomBytes } from 'node:crypto';
import type { Connection } from './connection.ts';

/** Messages that cost much to read or to store, each everything after DATA as it goes over the wire. */

const END = '\r\n.\r\n';
const FROM = 'From: a@bench.test\r\n';
const KB = 1_000;
const MIB = 1024 * 1024;

/** A line of a text each, whatever its characters. */
export const TEXTS: Readonly<Record<string, Buffer>> = {
  ASCII: Buffer.from('The five boxing wizards jump quickly over whatever lies in their way.\r\n'),
  'UTF-8 of two to four bytes': Buffer.from('Grüße 日本 🙂 ещё один тест\r\n'),
  'control characters': Buffer.from('\x01\x02\x03\x07\x08\x0b\x0c\x0e\x0f\x1f\x7f\r\n'),
  'Thai of one byte each': Buffer.concat([Buffer.alloc(60, 0xa1), Buffer.from('\r\n')]),
};

export function textMessage(line: Buffer, bytes: number): Buffer {
  const charset = line[0] === 0xa1 ? 'windows-874' : 'utf-8';
  const header = `${FROM}Content-Type: text/plain; charset=${charset}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n`;
  return Buffer.concat([Buffer.from(header), Buffer.alloc(bytes, line).fill('\r\n', bytes - 2), Buffer.from('.\r\n')]);
}

export function smallMessage(domain: string): Buffer {
  return Buffer.from(`From: a@${domain}\r\nTo: b@example.test\r\nSubject: small\r\n\r\nHi${END}`);
}

/** One message over a connection that is open. @returns the code behind DATA */
export async function sendMessage(connection: Connection, from: string, message: Buffer): Promise<number> {
  await connection.command(`MAIL FROM:<${from}>`, 250);
  await connection.command('RCPT TO:<recipient@example.test>', 250);
  await connection.command('DATA', 354);
  return new Promise((resolve, reject) => {
    connection.onReply = resolve;
    connection.onLost = reason => reject(new Error(reason));
    connection.write(message);
  });
}

export function hostileMessage(header: string): Buffer {
  return Buffer.from(`${FROM}${header}\r\n\r\nHi${END}`);
}

function fill(text: string, bytes: number): string {
  return text.repeat(Math.floor(bytes / text.length));
}

export const ADDRESSES = hostileMessage(`To: ${fill('someone@example.com,\r\n ', 250 * KB)}b@example.test`);

/** The same behind one another, in lines as long as most servers take, so that the header is within its lines. */
function inLongLines(text: string, bytes: number): string {
  return fill(`${fill(`${text} `, 900)}\r\n `, bytes);
}

/** RFC 2231 section 3. */
function pieces(bytes: number): string {
  const each = "name*00000*=utf-8''%C3%BC%C3%BC%C3%BC;\r\n ".length;
  return Array.from({ length: Math.floor(bytes / each) }, (_, n) => `name*${n}*=utf-8''%C3%BC%C3%BC%C3%BC;\r\n `).join(
    '',
  );
}

/** Nearly as much as a header may have. */
const MOST = MIB - KB;

export const HEADERS: Readonly<Record<string, string>> = {
  addresses: `To: ${fill('someone@example.com,\r\n ', MOST)}b@example.test`,
  References: `References: ${fill('<0123456789@example.com>\r\n ', MOST)}`,
  'lines (16,000)': fill('X-A: b\r\n', 16_000 * 8).trimEnd(),
  'encoded words': `To: ${fill('=?utf-8?Q?J=C3=BC?= <a@b.test>,\r\n ', MOST)}b@example.test`,
  'parameters in pieces': `Content-Type: text/plain; ${pieces(MOST)} x=y`,
  'a subject of encoded words': `Subject: ${fill('=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=\r\n ', MOST)}`,
  'quoted strings': `To: ${fill('"a\\"b" <a@b.test>,\r\n ', MOST)}b@example.test`,
  groups: `To: ${fill('g: a@b.test;,\r\n ', MOST)}b@example.test`,
  'one word': `X-A: ${fill(`${'a'.repeat(900)}\r\n `, MOST)}`,
  'addresses, 38 a line': `To: ${inLongLines('someone@example.com,', MOST)}b@example.test`,
  'References, 36 a line': `References: ${inLongLines('<0123456789@example.com>', MOST)}`,
  'encoded words, 28 a line': `Subject: ${inLongLines('=?utf-8?Q?J=C3=BC=20J=C3=BC?=', MOST)}`,
  'quoted strings, 50 a line': `To: ${inLongLines('"a\\"b" <a@b.test>,', MOST)}b@example.test`,
  comments: `To: ${'('.repeat(MOST / 2 - KB)}${')'.repeat(MOST / 2 - KB)} b@example.test`,
};

function multipart(parts: string): Buffer {
  return hostileMessage(`MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n${parts}--b--`);
}

function nested(depth: number): string {
  const open = (n: number): string => `--b${n}\r\nContent-Type: multipart/mixed; boundary=b${n + 1}\r\n\r\n`;
  return Array.from({ length: depth }, (_, n) => open(n)).join('');
}

function body(fields: string, text: string): Buffer {
  return hostileMessage(`MIME-Version: 1.0\r\n${fields}\r\n\r\n${text}`);
}

/** Bodies and attachments that take long to store. */
export const LARGE: Readonly<Record<string, Buffer>> = {
  'texts of 200 KB': body('Content-Type: text/plain', fill(`${'a b '.repeat(18)}\r\n`, 200 * KB)),
  'texts of 1 MB': body('Content-Type: text/plain', fill(`${'a b '.repeat(18)}\r\n`, MIB)),
  'texts of 38 MB': body('Content-Type: text/plain', fill(`${'a b '.repeat(18)}\r\n`, 38 * MIB)),
  'files of 200 KB': attached(200 * KB),
  'files of 1 MB': attached(MIB),
  'files of 7 MB': attached(7 * MIB),
  'files of 38 MB': attached(38 * MIB),
};

/** What cannot be compressed, as files are mostly. */
function attached(bytes: number): Buffer {
  const base64 = randomBytes((bytes / 78) * 57).toString('base64');
  return multipart(
    `--b\r\n\r\nHi\r\n--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n${base64.replaceAll(/.{76}/g, '$&\r\n')}\r\n`,
  );
}

/** Bodies that take long to read, for their size. */
export const BODIES: Readonly<Record<string, Buffer>> = {
  'parts (100,000)': multipart(fill('--b\r\n\r\n\r\n', 100_000 * 9)),
  'parts of 4 KB of fields': multipart(fill(`--b\r\n${fill('X-A: b\r\n', 4 * KB)}\r\nHi\r\n`, 4 * MIB)),
  'multiparts in multiparts': body('Content-Type: multipart/mixed; boundary=b0', nested(20_000)),
  'messages in messages': body('Content-Type: message/rfc822', fill('Content-Type: message/rfc822\r\n\r\n', MIB)),
  'boundaries that are none': multipart(`--b\r\n\r\n${fill('--c\r\n', 4 * MIB)}`),
  'lines of a byte': body('Content-Type: text/plain', fill('a\r\n', 8 * MIB)),
  'quoted-printable': body('Content-Transfer-Encoding: quoted-printable', fill('=41=\r\n', 8 * MIB)),
  'Base64 that is none': body('Content-Transfer-Encoding: base64', fill('=?!-\r\n', 8 * MIB)),
  'escapes of ISO-2022-JP': body('Content-Type: text/plain; charset=iso-2022-jp', fill('\x1b$B\x1b(B\r\n', 8 * MIB)),
  tags: body('Content-Type: text/html', fill('<a href=x><p title="a>b">\r\n', 8 * MIB)),
  'uuencoded files': body('Content-Type: text/plain', fill('begin 644 a\r\n#0V%T\r\n`\r\nend\r\n', 4 * MIB)),
  'text of 60 KB, flowed': body('Content-Type: text/plain; format=flowed; delsp=yes', fill('> a \r\n', 60 * KB)),
  'parts of 60 KB': multipart(fill('--b\r\n\r\n\r\n', 60 * KB)),
  'encoded words of 30 KB': hostileMessage(
    `To: ${fill('=?utf-8?Q?J=C3=BC?= <a@b.test>,\r\n ', 30 * KB)}b@example.test`,
  ),
};
