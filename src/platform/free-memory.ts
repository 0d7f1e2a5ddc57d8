/** A smaller one is not worth the call. */
const LARGE = 16 * 1024;

/**
 * Gives a Buffer's memory back at once, where nothing else lives in it; the Buffer is empty afterwards. The garbage
 * collector sees only a small handle, and would let the memory of large messages pile up by hundreds of megabytes.
 */
export function freeMemory({ buffer, byteLength }: Uint8Array): void {
  if (byteLength >= LARGE && buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}
