const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Whether it is a UUID as Postgres and we write it (RFC 9562 section 4), in either case. Of other texts, Postgres would throw. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}
