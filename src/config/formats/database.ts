import { type Format, oneOf, optional, text } from './format.ts';

/** A host, a name or a password, of any length: tokens of IAM have more than a thousand characters. */
export const line = text('a text in one line', /^[^\0\r\n]*$/);

/** What libpq calls `sslmode`, without `allow`, which cannot be meant. */
export const sslMode: Format<string> = optional(
  oneOf('disable', 'no-verify', 'prefer', 'require', 'verify-ca', 'verify-full') as Format<string>,
);
