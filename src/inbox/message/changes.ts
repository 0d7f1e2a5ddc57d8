import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { StoreError } from '../../postgres/errors.ts';
import type { Changed } from '../contract.ts';
import type { ReadMessage } from './read.ts';
import { Structure } from './structure.ts';

/** Characters of a body that are compared. */
const MOST = 300_000;

/**
 * What became of a message on its way out: header fields that were added and left out, links and pixel of tracking. It is told by what
 * the transport `capture` wrote, in the folder of this worker.
 *
 * @throws StoreError `not-found` where the message is not kept as it was received, or was not written here
 */
export async function changesOf({ story, structure }: ReadMessage, directory: string): Promise<Changed> {
  const names = story.attempts.flatMap(({ transport, providerMessageId }) =>
    transport === 'capture' ? (providerMessageId ?? []) : [],
  );
  const [name] = names;
  if (structure === null || name === undefined)
    throw new StoreError('not-found', 'nothing was written of it: it was not captured yet, or is in sandbox');
  const sent = await readFile(join(directory, basename(name))).catch(() => null);
  if (sent === null)
    throw new StoreError('not-found', `${name} is not in the folder of this worker (capture.directory)`);
  const after = await Structure.read(sent);
  const sections = [
    { title: 'Header', before: headerOf(structure), after: headerOf(after) },
    { title: 'HTML', before: bodyOf(structure, 'text/html'), after: bodyOf(after, 'text/html') },
    { title: 'Text', before: bodyOf(structure, 'text/plain'), after: bodyOf(after, 'text/plain') },
  ];
  return { sections: sections.filter(section => section.before !== section.after) };
}

function headerOf({ headers }: Structure): string {
  return headers.map(({ name, value }) => `${name}: ${value}\n`).join('');
}

/** The first one, a tag a line. */
function bodyOf(structure: Structure, type: string): string {
  const part = structure.leaves.find(
    ({ contentType, disposition }) => contentType === type && disposition !== 'attachment',
  );
  const text = (part && structure.textOf(part.path)) ?? '';
  const lines = type === 'text/html' ? text.replaceAll(/>\s*</g, '>\n<') : text;
  return lines.replaceAll('\r\n', '\n').slice(0, MOST);
}
