import libmime from 'libmime';

/** Bytes that are read at a time; the reader makes an object of each line. */
const PIECE = 256 * 1024;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;

/**
 * Joins the lines of `format=flowed; delsp=yes` (RFC 3676), piece by piece. A paragraph that is longer than a piece becomes two.
 *
 * @param written without its transfer encoding
 */
export function readFlowed(written: Buffer): Buffer {
  const reader = new libmime.Libmime();
  const pieces: Buffer[] = [];
  for (let start = 0; start < written.length; ) {
    const end = endOfParagraph(written, start);
    const joined = Buffer.from(reader.decodeFlowed(written.toString('latin1', start, end), true), 'latin1');
    pieces.push(...(start === 0 ? [joined] : [Buffer.of(LF), joined]));
    start = end;
  }
  return Buffer.concat(pieces);
}

/** The offset behind the last line within a piece that the next one does not continue; else behind the piece. */
function endOfParagraph(written: Buffer, start: number): number {
  const most = start + PIECE;
  if (most >= written.length) return written.length;
  for (let at = written.lastIndexOf(LF, most - 1); at > start; at = written.lastIndexOf(LF, at - 1)) {
    if (written[written[at - 1] === CR ? at - 2 : at - 1] !== SPACE) return at + 1;
  }
  const line = written.lastIndexOf(LF, most - 1);
  return line > start ? line + 1 : most;
}
