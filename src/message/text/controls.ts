import { decodeWords } from './charset.ts';

/**
 * What no text of one line has: control characters, ends of lines and paragraphs, and what turns the direction of text, to disguise
 * an address or an extension; not the marks of right-to-left scripts (U+200F and the like), which turn nothing else. NUL is refused
 * elsewhere.
 */
const UNFIT = /(?:(?!\0)[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069])+/gu;
const PRINTABLE = /^[ -~]*$/;

/** A text of one line as rows and header fields carry it: a space stands for a run of what it cannot have. */
export function withoutControls(text: string): string {
  return PRINTABLE.test(text) ? text : text.replaceAll(UNFIT, ' ');
}

/** The same for a text whose encoded words (RFC 2047) may hide such characters: only where they do is it decoded. */
export function withoutHiddenControls(text: string): string {
  if (!text.includes('=?')) return withoutControls(text);
  const decoded = decodeWords(text);
  const clean = withoutControls(decoded);
  return clean === decoded ? text : clean;
}
