import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** A certificate chain and its private key, PEM. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
  readonly notAfter: Date;
}

export interface TlsPaths {
  readonly certPath: string;
  readonly keyPath: string;
}

/**
 * Reads certificate and key, and makes sure that they belong together.
 *
 * A Secret mounted by Kubernetes changes as a whole, by a new target of the folder's `..data` link; so both are read
 * from what it points to now, and never one old and one new.
 *
 * @throws Error that names what is wrong; never any of the key
 */
export async function readTlsPair({ certPath, keyPath }: TlsPaths): Promise<TlsPair> {
  const [cert, key] = (await Promise.all(
    (await oneGeneration([certPath, keyPath])).map(path => readFile(path, 'utf8')),
  )) as [string, string];
  const certificate = new X509Certificate(cert);
  if (!certificate.checkPrivateKey(createPrivateKey(key))) {
    throw new Error(`the private key in ${keyPath} does not belong to the certificate in ${certPath}`);
  }
  return { cert, key, notAfter: new Date(certificate.validTo) };
}

async function oneGeneration(paths: readonly string[]): Promise<string[]> {
  const folders = new Map<string, Promise<string>>();
  return Promise.all(
    paths.map(async path => {
      const folder = dirname(path);
      if (!folders.has(folder))
        folders.set(
          folder,
          realpath(join(folder, '..data')).catch(() => folder),
        );
      return join((await folders.get(folder)) as string, basename(path));
    }),
  );
}
