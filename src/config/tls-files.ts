import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { ConfigProblem } from './problem.ts';
import { messageOf, readText } from './sources/reading.ts';

/** A file of the pair of certificate and key: its path, and where that path was set. */
interface TlsFile {
  readonly path: string;
  readonly source: string;
}

/**
 * Tries the certificate and the key as a listener would: both readable, both PEM, of the same pair, and accepted by
 * OpenSSL. A certificate out of its time is only warned of: clients may refuse it, but some do not look.
 */
export function checkTlsFiles(cert: TlsFile, key: TlsFile): { problems: ConfigProblem[]; warnings: string[] } {
  const problems: ConfigProblem[] = [];
  const attempt = <T>(setting: string, { path, source }: TlsFile, fix: string, read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      problems.push({ setting, source, why: `${path} ${messageOf(error)}`, fix });
      return undefined;
    }
  };

  const certFix = 'name a readable PEM file that begins with -----BEGIN CERTIFICATE-----';
  const keyFix = 'name a readable PEM file with the unencrypted private key (-----BEGIN PRIVATE KEY-----)';
  const certificate = attempt('tls.certPath', cert, certFix, () => readCertificate(cert.path));
  const privateKey = attempt('tls.keyPath', key, keyFix, () => readPrivateKey(key.path));
  if (certificate && privateKey) {
    const pairFix = 'name the key that the certificate was issued for, and a complete certificate file';
    attempt('tls.keyPath', key, pairFix, () => checkPair(certificate, privateKey, cert.path));
  }
  return { problems, warnings: certificate ? expiryWarnings(cert.path, certificate.leaf) : [] };
}

interface PemCertificate {
  /** The whole file: the certificate and its intermediates. */
  readonly pem: string;
  readonly leaf: X509Certificate;
}

function readCertificate(path: string): PemCertificate {
  const pem = readText(path);
  if (!pem.includes('-----BEGIN CERTIFICATE-----')) throw new Error('is not a certificate in PEM');
  try {
    return { pem, leaf: new X509Certificate(pem) };
  } catch (error) {
    throw new Error('holds a certificate that is damaged', { cause: error });
  }
}

function readPrivateKey(path: string): KeyObject {
  const pem = readText(path);
  if (!/-----BEGIN ([A-Z]+ )*PRIVATE KEY-----/.test(pem)) throw new Error('is not a private key in PEM');
  if (pem.includes('ENCRYPTED')) throw new Error('is a private key that is encrypted with a passphrase');
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw new Error('holds a private key that is damaged', { cause: error });
  }
}

function checkPair({ pem, leaf }: PemCertificate, key: KeyObject, certPath: string): void {
  if (!leaf.checkPrivateKey(key)) throw new Error(`does not belong to the certificate in ${certPath}`);
  try {
    createSecureContext({ cert: pem, key: key.export({ type: 'pkcs8', format: 'pem' }) });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new Error(`and ${certPath} are refused by OpenSSL (${code})`, { cause: error });
  }
}

function expiryWarnings(path: string, { validFromDate, validToDate }: X509Certificate): string[] {
  const now = Date.now();
  if (validToDate.getTime() < now)
    return [`tls.certPath: the certificate in ${path} expired on ${validToDate.toISOString()}.`];
  if (validFromDate.getTime() <= now) return [];
  return [`tls.certPath: the certificate in ${path} is not valid before ${validFromDate.toISOString()}.`];
}
