import type { ObjectStore } from '../objects/store.ts';
import type { Queryable } from '../postgres/pool.ts';
import { type ReadSlice, readRawHeader, readRawMessage, readRawSlice } from '../store/messages/raw.ts';

/** A message as it was received, and where that is kept. */
export interface KeptOriginal {
  readonly emailId: string;
  readonly sizeBytes: number;
  /** Left out or null: in the database. */
  readonly objectUrl?: string | null | undefined;
}

/** Messages as they were received, wherever they are kept. All give null for what is kept no more. */
export interface Originals {
  readSlice(original: KeptOriginal, start: number, length: number): Promise<Buffer | null>;
  readRaw(original: KeptOriginal): Promise<Buffer | null>;
  readHeader(original: KeptOriginal): Promise<Buffer | null>;
}

export function createOriginals(db: Queryable, objects: Pick<ObjectStore, 'read'>): Originals {
  const readerOf = ({ emailId, objectUrl }: KeptOriginal): ReadSlice =>
    objectUrl
      ? (start, length) => objects.read(objectUrl, start, length)
      : (start, length) => readRawSlice(db, emailId, start, length);
  return {
    readSlice: (original, start, length) => readerOf(original)(start, length),
    readRaw: original => readRawMessage(readerOf(original), original.sizeBytes),
    readHeader: original => readRawHeader(readerOf(original), original.sizeBytes),
  };
}
