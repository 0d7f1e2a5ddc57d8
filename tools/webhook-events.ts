import { readFile, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { replaceBetweenMarkers } from '../src/config/reference.ts';
import { EVENTS } from '../src/store/event-types.ts';

/*
 * Writes the table of events in docs/webhooks.md, or with --check says whether it is stale:
 *
 *     node bin/node24.js tools/webhook-events.ts [--check]
 */

const PATH = 'docs/webhooks.md';

const rows = Object.values(EVENTS).map(({ name, when }) => `| \`${name}\` | ${when} |`);
const table = ['| Event | When |', '| --- | --- |', ...rows].join('\n');
const file = new URL(`../${PATH}`, import.meta.url);
const document = await readFile(file, 'utf8');
const updated = replaceBetweenMarkers(document, table);
if (!process.argv.includes('--check')) await writeFile(file, updated);
else if (updated !== document) {
  process.stderr.write(`${PATH} is stale: run make generate\n`);
  process.exitCode = 1;
} else process.stdout.write(`${PATH} is up to date.\n`);
