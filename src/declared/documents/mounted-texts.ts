import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as letOthersRun } from 'node:timers/promises';
import { whyUnreadable } from '../../config/sources/reading.ts';
import type { DeclaredDocument } from './document.ts';

/** A file that a document names: where, and below which folder. */
export interface TextReference {
  readonly folder: 'secrets' | 'documents';
  readonly path: string;
  /** Of the field that names it. */
  readonly field: readonly string[];
}

/** The text of a file, or why it cannot be read. */
export type MountedText = { readonly text: string } | { readonly why: string };

/** What is in the files that documents name; undefined for a file that nobody looked for, as in a check without secrets. */
export type MountedTexts = (reference: TextReference) => MountedText | undefined;

export interface Folders {
  readonly documents: string;
  /** null: files in it are not looked for. */
  readonly secrets: string | null;
}

/** The file that a document names, if any. */
export function referenceOf({ kind, spec }: DeclaredDocument): TextReference | null {
  const reference = (folder: TextReference['folder'], path: string | undefined, ...field: string[]) =>
    path === undefined ? null : { folder, path, field: ['spec', ...field] };
  if (kind === 'SmtpCredential' && 'keyFile' in spec) return reference('secrets', spec.keyFile, 'keyFile');
  if (kind === 'WebhookEndpoint' && 'secretFile' in spec) return reference('secrets', spec.secretFile, 'secretFile');
  if (kind === 'SuppressionList' && 'addressesFile' in spec) {
    return reference('documents', spec.addressesFile, 'addressesFile');
  }
  if (kind === 'Route' && 'transport' in spec) {
    const own = spec[spec.transport] ?? {};
    const file = 'passwordFile' in own ? own.passwordFile : undefined;
    return reference('secrets', file, spec.transport, 'passwordFile');
  }
  return null;
}

/** Small files in memory, as Secrets are mounted: read at once, they take a fifth of the time that the thread pool takes. */
const AT_A_TIME = 100;

/** Reads all files that the documents name. */
export async function readMountedTexts(
  documents: readonly DeclaredDocument[],
  folders: Folders,
): Promise<MountedTexts> {
  const paths = new Set<string>();
  for (const document of documents) {
    const reference = referenceOf(document);
    const path = reference && pathOf(reference, folders);
    if (path) paths.add(path);
  }
  const texts = new Map<string, MountedText>();
  for (const path of paths) {
    texts.set(path, readText(path));
    if (texts.size % AT_A_TIME === 0) await letOthersRun();
  }
  return reference => {
    const path = pathOf(reference, folders);
    return path === null ? undefined : texts.get(path);
  };
}

function pathOf({ folder, path }: TextReference, folders: Folders): string | null {
  const directory = folders[folder];
  return directory === null ? null : join(directory, path);
}

function readText(path: string): MountedText {
  try {
    const content = readFileSync(path);
    return isUtf8(content) ? { text: content.toString('utf8') } : { why: 'is not a text file in UTF-8' };
  } catch (error) {
    return { why: whyUnreadable(error) };
  }
}
