const LF = 0x0a;

/** The longest line that SMTP carries, in bytes, its CRLF not counted (RFC 5321 section 4.5.3.1.6, RFC 5322 section 2.1.1). */
export const MAX_LINE = 998;

/**
 * Whether a line of these bytes is longer than `max`, its CRLF not counted. Looks at one place in a thousand, not at each byte.
 *
 * @param bytes from the beginning of a line; lines end with CRLF
 */
export function hasLongLine(bytes: Buffer, max = MAX_LINE): boolean {
  let position = 0;
  while (bytes.length - position > max) {
    const lineFeed = bytes.lastIndexOf(LF, position + max + 1);
    if (lineFeed < position) return true;
    position = lineFeed + 1;
  }
  return false;
}
