import { X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeCertificate } from './certificate.ts';

/** Paths of PEM files. */
export interface TlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

const RENEW_BEFORE_MS = 7 * 86_400_000;

/** The local authority and certificate of `dev`, kept over restarts and made anew a week before they end. */
export async function keepTlsFiles(directory: string): Promise<TlsFiles> {
  const files = { ca: join(directory, 'ca.crt'), cert: join(directory, 'tls.crt'), key: join(directory, 'tls.key') };
  if (await isUsable(files)) return files;
  const made = await makeCertificate();
  await writeFile(files.key, made.key, { mode: 0o600 });
  await writeFile(files.ca, made.ca);
  // Last, since it is what a later start looks at.
  await writeFile(files.cert, made.cert);
  return files;
}

async function isUsable(files: TlsFiles): Promise<boolean> {
  try {
    const [ca, cert] = await Promise.all([readFile(files.ca), readFile(files.cert), readFile(files.key)]);
    const certificate = new X509Certificate(cert);
    const end = Date.parse(certificate.validTo);
    return certificate.verify(new X509Certificate(ca).publicKey) && end > Date.now() + RENEW_BEFORE_MS;
  } catch {
    return false;
  }
}
