import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CertificateOptions, type CertificateSet, makeCertificate as make } from '../../dev/certificate.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

export interface CertificateFiles extends CertificateSet {
  readonly directory: string;
  readonly caPath: string;
  readonly certPath: string;
  readonly keyPath: string;
}

/** A certificate for localhost, 127.0.0.1 and ::1 with its authority, as PEM texts and as files, removed afterwards. */
export async function makeCertificate(t: TestContext, options: CertificateOptions = {}): Promise<CertificateFiles> {
  const set = await make(options);
  const directory = await mkdtemp(join(tmpdir(), 'smtp-relay-tls-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const files = {
    caPath: join(directory, 'ca.crt'),
    certPath: join(directory, 'tls.crt'),
    keyPath: join(directory, 'tls.key'),
  };
  await writeFile(files.caPath, set.ca);
  await writeFile(files.certPath, set.cert);
  await writeFile(files.keyPath, set.key, { mode: 0o600 });
  return { ...set, ...files, directory };
}
