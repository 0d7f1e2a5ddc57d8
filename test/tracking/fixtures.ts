import { readdir, readFile, writeFile } from 'node:fs/promises';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { rewriteMessage, type Tracking } from '../../src/tracking/rewrite.ts';

/** `rewritten/NAME.before.eml` becomes `rewritten/NAME.after.eml`; `untouched/NAME.eml` stays as it is. */
export const FIXTURES = fileURLToPath(new URL('fixtures', import.meta.url));

const BASE = 'https://links.example.com';

/** Links that a person can read back: the target in Base64url. */
export const READABLE: Tracking = {
  opens: true,
  clicks: true,
  pixelUrl: `${BASE}/t/o/pixel`,
  linkFor: url => (url.startsWith(BASE) ? null : `${BASE}/t/c/${Buffer.from(url).toString('base64url')}`),
};

export async function namesIn(folder: 'rewritten' | 'untouched', ending: string): Promise<string[]> {
  const files = await readdir(`${FIXTURES}/${folder}`);
  return files.filter(file => file.endsWith(ending)).map(file => file.slice(0, -ending.length));
}

export function readFixture(path: string): Promise<Buffer> {
  return readFile(`${FIXTURES}/${path}`);
}

/** `node test/tracking/fixtures.ts write` writes what comes out now; the difference is for a person to read. */
if (argv[1] === fileURLToPath(import.meta.url) && argv[2] === 'write') {
  for (const name of await namesIn('rewritten', '.before.eml')) {
    const after = await rewriteMessage(await readFixture(`rewritten/${name}.before.eml`), READABLE);
    await writeFile(`${FIXTURES}/rewritten/${name}.after.eml`, after);
  }
}
