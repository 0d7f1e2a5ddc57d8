import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { isDeepStrictEqual } from 'node:util';
import { nameOf, parseManifests } from './manifests.ts';

/* Whether two files hold the same objects, in whatever order. */

const [one = [], other = []] = await Promise.all(
  process.argv.slice(2).map(async file => {
    const manifests = parseManifests(await readFile(file, 'utf8'));
    return manifests.sort((a, b) => nameOf(a).localeCompare(nameOf(b)));
  }),
);
if (!isDeepStrictEqual(one, other)) {
  console.error(`${process.argv.slice(2).join(' and ')} differ`);
  process.exitCode = 1;
}
