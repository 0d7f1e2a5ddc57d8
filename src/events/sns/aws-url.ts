/** By the partition: AWS and GovCloud, China, and the European Sovereign Cloud (SDKs of AWS, `partitions.json`, `dnsSuffix`). */
const SNS_HOST = /^sns\.([a-z0-9-]+)\.amazonaws\.(?:com|com\.cn|eu)$/;
/** How SNS names the certificates that it signs with (SNS developer guide, "Verifying the signatures of Amazon SNS messages"). */
const CERTIFICATE_PATH = /^\/SimpleNotificationService-[0-9a-f]{1,64}\.pem$/;

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

/** A URL at which SNS keeps one of its certificates, and nothing else. @returns null where it is another */
export function certificateUrl(text: string): URL | null {
  const url = snsUrl(text);
  return url !== null && CERTIFICATE_PATH.test(url.pathname) && url.search === '' && url.hash === '' ? url : null;
}

/** The region that a URL of SNS is in, such as `eu-west-1`. */
export function regionOf(url: URL): string | undefined {
  return SNS_HOST.exec(url.hostname)?.[1];
}
