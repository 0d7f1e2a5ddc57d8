import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';

/** A name for this process among all that ever share its database; a new one at each call. */
export function processName(): string {
  return `${hostname()}-${randomBytes(4).toString('hex')}`;
}
