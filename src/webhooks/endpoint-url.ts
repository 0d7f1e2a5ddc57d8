import { hasBadPort } from './bad-ports.ts';

/**
 * Reads the URL of an endpoint that is to be kept.
 *
 * Where it leads is checked at each connection, since a name may lead elsewhere tomorrow.
 *
 * @returns it in its normal form
 * @throws RangeError that says what is wrong with it
 */
export function parseEndpointUrl(text: string): string {
  const url = URL.parse(text.trim());
  if (!url) throw new RangeError(`"${text}" is not a URL`);
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw new RangeError('the URL has to be one of https or http');
  if (url.username !== '' || url.password !== '') {
    throw new RangeError('the URL has a user or password in it; the signature is what tells that we are the sender');
  }
  if (hasBadPort(url)) {
    throw new RangeError(
      `port ${url.port} is one of another protocol (Fetch Standard, "bad port"); let the endpoint have another`,
    );
  }
  // It never leaves the sender (RFC 9110 section 7.1).
  url.hash = '';
  return url.href;
}
