const SNS_HOST = /^sns\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?$/;

/**
 * A URL of SNS itself: https, its usual port, no user. Whatever a message names is fetched only from there, so that nobody
 * signs with a certificate of their own, or makes us call something else.
 *
 * @returns null where it is another
 */
export function snsUrl(text: string): URL | null {
  if (!URL.canParse(text)) return null;
  const url = new URL(text);
  const plain = url.protocol === 'https:' && url.port === '' && url.username === '' && url.password === '';
  return plain && SNS_HOST.test(url.hostname) ? url : null;
}
