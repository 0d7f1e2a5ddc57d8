const TOKEN = String.raw`[\w!#$%&'*+.^\x60{|}~-]+`;
const COMMENT = String.raw`\((?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\)`;
const SPACE = String.raw`(?:[ \t]|${COMMENT})*`;

/** How a Content-Type field's body begins (RFC 2045 section 5.1). */
export const TYPE = new RegExp(String.raw`${SPACE}${TOKEN}[ \t]*/[ \t]*${TOKEN}${SPACE}`, 'y');
/** How that of a Content-Disposition field begins (RFC 2183 section 2). */
export const DISPOSITION = new RegExp(`${SPACE}${TOKEN}${SPACE}`, 'y');

const PARAMETER = new RegExp(
  String.raw`;${SPACE}(?:${TOKEN}${SPACE}=${SPACE}(?:${TOKEN}|"[^"\\]*(?:\\.[^"\\]*)*")${SPACE})?`,
  'y',
);

/** Whether a field's body begins so, and goes on with parameters. A `;` at the end, which RFC 2045 does not have, is common and harms nobody. */
export function isOfForm(value: string, beginning: RegExp): boolean {
  beginning.lastIndex = 0;
  return beginning.test(value) && areParameters(value, beginning.lastIndex);
}

/** Whether there are only parameters from that position on. */
export function areParameters(value: string, from = 0): boolean {
  let position = from;
  while (position < value.length) {
    PARAMETER.lastIndex = position;
    if (!PARAMETER.test(value)) return false;
    position = PARAMETER.lastIndex;
  }
  return true;
}
