import { randomBytes, randomUUID } from 'node:crypto';
import { hostname } from 'node:os';

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Whether it is a UUID as Postgres and we write it (RFC 9562 section 4), in either case. Of other texts, Postgres would throw. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/**
 * An id for rows of which there are very many: a UUID that begins with the time in milliseconds, as version 7 does. So rows enter
 * each index one after the other, while random ids would each touch another page of it. It calls itself version 4, since OpenSend
 * knows only versions 1 to 5 (contract). 74 bits of it are random.
 */
export function newOrderedId(now: number = Date.now()): string {
  const time = now.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8, 12)}${randomUUID().slice(13)}`;
}

/** A name for this process among all that ever share its database; a new one at each call. */
export function processName(): string {
  return `${hostname()}-${randomBytes(4).toString('hex')}`;
}
