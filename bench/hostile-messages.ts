/** Messages that cost much to read, each everything after DATA as it goes over the wire. */

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

export function hostileMessage(header: string): Buffer {
  return Buffer.from(`${FROM}${header}\r\n\r\nHi${END}`);
}

function fill(text: string, bytes: number): string {
  return text.repeat(Math.floor(bytes / text.length));
}

export const ADDRESSES = hostileMessage(`To: ${fill('someone@example.com,\r\n ', 250 * KB)}b@example.test`);

/** Nearly as much as a header may have. */
const MOST = MIB - KB;

export const HEADERS: Readonly<Record<string, string>> = {
  addresses: `To: ${fill('someone@example.com,\r\n ', MOST)}b@example.test`,
  References: `References: ${fill('<0123456789@example.com>\r\n ', MOST)}`,
  'lines (16,000)': fill('X-A: b\r\n', 16_000 * 8).trimEnd(),
  'encoded words': `To: ${fill('=?utf-8?Q?J=C3=BC?= <a@b.test>,\r\n ', MOST)}b@example.test`,
  comments: `To: ${'('.repeat(MOST / 2 - KB)}${')'.repeat(MOST / 2 - KB)} b@example.test`,
};
