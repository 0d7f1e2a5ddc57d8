/**
 * JSON that Postgres takes. Servers answer what they like, and what they said may have been cut in the middle of a character:
 * it stores neither NUL nor half a surrogate pair, which alone are escaped by these.
 */
export function storableJson(value: unknown): string {
  const json = JSON.stringify(value);
  if (!/\\u(?:0000|d[89a-f])/.test(json)) return json;
  return JSON.stringify(value, (_, part) =>
    typeof part === 'string' ? part.replaceAll('\0', '').toWellFormed() : part,
  );
}
