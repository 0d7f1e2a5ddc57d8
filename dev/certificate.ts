import { webcrypto } from 'node:crypto';

/** PEM texts: a local authority's certificate, and a server certificate that it signed, with its key. */
export interface CertificateSet {
  readonly ca: string;
  readonly caKey: string;
  readonly cert: string;
  readonly key: string;
}

export interface CertificateOptions {
  /** Signs again with this authority; a new one is made unless given. */
  readonly authority?: { readonly ca: string; readonly caKey: string };
  /** One more name that the certificate is for. */
  readonly name?: string;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const USAGES = ['sign', 'verify'] as const;
const DAY_MS = 86_400_000;

/**
 * Makes a server certificate for localhost, 127.0.0.1 and ::1, and any other name, signed by a local authority. Valid for 396 days from
 * now: Apple's clients accept at most 398 in all.
 *
 * @throws Error in plain words when @peculiar/x509 is not installed
 */
export async function makeCertificate(options: CertificateOptions = {}): Promise<CertificateSet> {
  const x509 = await importX509();
  const notBefore = options.notBefore ?? new Date(Date.now() - DAY_MS);
  const notAfter = options.notAfter ?? new Date(Date.now() + 396 * DAY_MS);
  const authority = options.authority ?? (await makeAuthority());
  const issuer = new x509.X509Certificate(authority.ca);
  const signingKey = await importKey(authority.caKey);
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, USAGES);
  const names = [
    ...(options.name === undefined ? [] : [{ type: 'dns', value: options.name } as const]),
    { type: 'dns', value: 'localhost' },
    { type: 'ip', value: '127.0.0.1' },
    { type: 'ip', value: '::1' },
  ] as const;
  const certificate = await x509.X509CertificateGenerator.create({
    subject: 'CN=localhost',
    issuer: issuer.subject,
    notBefore,
    notAfter,
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([...names]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { ...authority, cert: pem(certificate.toString('pem')), key: await exportKey(keys.privateKey) };
}

async function makeAuthority(): Promise<{ ca: string; caKey: string }> {
  const x509 = await importX509();
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, USAGES);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=smtp-relay local CA',
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + 3650 * DAY_MS),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { ca: pem(certificate.toString('pem')), caKey: await exportKey(keys.privateKey) };
}

async function importX509(): Promise<typeof import('@peculiar/x509')> {
  try {
    // @peculiar/x509 leaves it to us to load what its dependency injection needs.
    await import('reflect-metadata');
    return await import('@peculiar/x509');
  } catch (cause) {
    throw new Error('The package @peculiar/x509 is not installed: run "npm ci" with development dependencies.', {
      cause,
    });
  }
}

async function importKey(text: string): Promise<webcrypto.CryptoKey> {
  const der = Buffer.from(text.replace(/-----[^-]+-----/g, ''), 'base64');
  return webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const body = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${body.match(/.{1,64}/g)?.join('\n')}\n-----END PRIVATE KEY-----\n`;
}

function pem(text: string): string {
  return `${text.trim()}\n`;
}
