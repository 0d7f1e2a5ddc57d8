import { createSecureContext } from 'node:tls';
import { FormatError, text } from './format.ts';

/** A list in OpenSSL's words, tried as a listener would use it. */
export const ciphers = text('a list of ciphers in the words of OpenSSL, separated by colons', value => {
  try {
    if (value.includes(',') || /\s/.test(value)) throw new Error('separators other than colons');
    createSecureContext({ ciphers: value });
  } catch {
    throw new FormatError('has no cipher that OpenSSL knows, or is no list of them separated by colons');
  }
});
