import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';

/*
 * Makes of each folder here that has a `page.html` a page for browsers: its scripts and styles bundled, under names that change with
 * their content.
 *
 *     node web/build.ts            writes web/built/, from where relay and worker serve it
 */

const WEB = import.meta.dirname;
const BUILT = join(WEB, 'built');
/** What a page names of its own folder. */
const OWN_FILE = /(src|href)="([\w-]+\.(?:tsx?|css))"/g;

/** @returns files by name. @throws Error in plain words where esbuild is missing; esbuild's own where a page is wrong */
export async function buildPages(): Promise<ReadonlyMap<string, Uint8Array>> {
  const pages = await readPages();
  const { build } = await importEsbuild();
  const { outputFiles, metafile } = await build({
    entryPoints: pages.flatMap(({ name, html }) =>
      [...html.matchAll(OWN_FILE)].map(([, , file = '']) => join(WEB, name, file)),
    ),
    bundle: true,
    write: false,
    metafile: true,
    minify: true,
    format: 'esm',
    target: ['chrome120', 'firefox121', 'safari17'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'none',
    outbase: WEB,
    outdir: BUILT,
    entryNames: '[dir]-[hash]',
    logLevel: 'silent',
    absWorkingDir: WEB,
  });
  const names = new Map(
    Object.entries(metafile.outputs).flatMap(([path, { entryPoint }]) =>
      entryPoint === undefined ? [] : [[entryPoint, basename(path)] as const],
    ),
  );
  const built = new Map(outputFiles.map(({ path, contents }) => [basename(path), contents] as const));
  for (const { name, html } of pages) {
    const linked = html.replaceAll(
      OWN_FILE,
      (_, attribute, file) => `${attribute}="/assets/${names.get(`${name}/${file}`)}"`,
    );
    built.set(`${name}.html`, Buffer.from(linked));
  }
  return built;
}

async function readPages() {
  const files = (await readdir(WEB, { recursive: true })).filter(file => basename(file) === 'page.html').sort();
  return Promise.all(files.map(async file => ({ name: dirname(file), html: await readFile(join(WEB, file), 'utf8') })));
}

async function importEsbuild() {
  try {
    return await import('esbuild');
  } catch (cause) {
    throw new Error(
      'The package esbuild (builds the pages) is not installed: run "npm ci" with development dependencies.',
      {
        cause,
      },
    );
  }
}

async function write(): Promise<void> {
  const built = await buildPages();
  await rm(BUILT, { recursive: true, force: true });
  await mkdir(BUILT);
  await Promise.all([...built].map(([name, content]) => writeFile(join(BUILT, name), content)));
  for (const [name, { length }] of built) console.log(`${relative('.', join(BUILT, name))}  ${length} bytes`);
}

if (argv[1] === fileURLToPath(import.meta.url)) await write();
