import { createHash } from 'node:crypto';

/** A message, or a part, of these lines, with CRLF behind each. A string is written as UTF-8, a Buffer as it is. */
export function mail(...lines: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat(lines.flatMap(line => [Buffer.from(line as string), Buffer.from('\r\n')]));
}

/** A multipart of that subtype and these parts: its Content-Type field and its body. */
export function multipart(subtype: string, ...parts: readonly Buffer[]): Buffer {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  const boundary = `=_${hash.digest('hex').slice(0, 16)}`;
  const delimiter = Buffer.from(`--${boundary}\r\n`);
  return Buffer.concat([
    Buffer.from(`Content-Type: multipart/${subtype}; boundary="${boundary}"\r\n\r\n`),
    ...parts.flatMap(part => [delimiter, part, Buffer.from('\r\n')]),
    Buffer.from(`--${boundary}--\r\n`),
  ]);
}

/** Base64 in lines of 76 characters, as RFC 2045 section 6.8 has it. */
export function base64Lines(content: Buffer): string {
  return content.toString('base64').replace(/.{76}(?!$)/g, '$&\r\n');
}
