import libmime from 'libmime';

/** RFC 2047 section 2: an encoded word has at most 75 characters. */
const MAX_WORD = 75;

/**
 * A text as RFC 2047 encoded words in UTF-8, several where one is too short for it; in whichever encoding takes less room.
 * They may stand in a phrase (RFC 2047 section 5, rule 3) as well as in a text.
 */
export function encodeWords(text: string): string {
  const quoted = libmime.encodeWord(text, 'Q', MAX_WORD);
  const base64 = libmime.encodeWord(text, 'B', MAX_WORD);
  return quoted.length <= base64.length ? quoted : base64;
}

const PRINTABLE = /^[ -~]*$/;

/** Whether the text has nothing but what a header field may carry as it is: space to `~`. */
export function isPrintable(text: string): boolean {
  return PRINTABLE.test(text);
}

/** Encodes those words of a text that have other characters; neighbours among them together, with the spaces between. */
export function encodeForeignWords(text: string): string {
  const done: string[] = [];
  let run: string[] = [];
  for (const word of text.split(' ')) {
    if (!isPrintable(word)) run.push(word);
    else {
      if (run.length > 0) done.push(encodeWords(run.join(' ')));
      run = [];
      done.push(word);
    }
  }
  if (run.length > 0) done.push(encodeWords(run.join(' ')));
  return done.join(' ');
}
