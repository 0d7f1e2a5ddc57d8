/** Lines that look like boundaries. A part costs about 35 µs, empty or not. */
const MOST_BOUNDARIES = 50;
/** Bytes of a text that may be in a charset of these; it costs about 0.2 µs a byte. */
const MOST_BYTES = 8 * 1024;
/** Charsets whose text is read run by run (`seven-bit-charsets.ts`). */
const SLOW_CHARSETS = /utf-?7|2022-?kr|hz/i;

const BOUNDARY = Buffer.from('\n--');

/** Whether a message takes long to read for its size, as far as that shows without reading it. */
export function isDear(raw: Buffer): boolean {
  return hasManyBoundaries(raw) || (raw.length > MOST_BYTES && SLOW_CHARSETS.test(raw.toString('latin1')));
}

function hasManyBoundaries(raw: Buffer): boolean {
  let at = raw.indexOf(BOUNDARY);
  for (let left = MOST_BOUNDARIES; at !== -1 && left > 0; left -= 1) at = raw.indexOf(BOUNDARY, at + BOUNDARY.length);
  return at !== -1;
}
