import { hash, subtle } from 'node:crypto';

/** From here on hashing takes so long that it is given to Node's thread pool. */
const LARGE = 64 * 1024;

/** SHA-256. */
export async function sha256(bytes: Uint8Array): Promise<Buffer> {
  if (bytes.length < LARGE) return hash('sha256', bytes, 'buffer');
  return Buffer.from(await subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>));
}
