import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type PageFiles, readBuiltPages } from '../src/http/pages.ts';

const BUILDER = new URL('../web/build.ts', import.meta.url);

/** Pages as `web/` has them now; in an image, which has nothing to build with, as they were built with it. */
export async function currentPages(): Promise<PageFiles> {
  if (!existsSync(fileURLToPath(BUILDER))) return readBuiltPages();
  const { buildPages } = await import('../web/build.ts');
  return buildPages();
}
