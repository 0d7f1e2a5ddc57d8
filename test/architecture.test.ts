import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The floors of `docs/architecture.md`: a room imports only itself and lower floors; rooms on one floor do not meet. */
const FLOORS: Readonly<Record<string, number>> = {
  'main.ts': 9,
  cli: 8,
  dev: 7,
  'app.ts': 6,
  'worker.ts': 6,
  smtp: 5,
  delivery: 5,
  http: 5,
  resources: 5,
  tracking: 4,
  webhooks: 4,
  events: 3,
  policy: 3,
  store: 2,
  queue: 2,
  message: 1,
  config: 0,
  observability: 0,
};

const SRC = fileURLToPath(new URL('../src', import.meta.url));
/** Imports and re-exports, type imports, `import()` and URLs of threads among them: whatever names a module of ours. */
const RELATIVE = /(?:\bfrom\s*|\bimport\s*\(?\s*|\bnew\s+URL\(\s*)(['"`])(\.{1,2}\/[^'"`]*\.ts)\1/g;

interface Import {
  readonly from: string;
  readonly to: string;
}

async function sourceFiles(): Promise<string[]> {
  const entries = await readdir(SRC, { recursive: true, withFileTypes: true });
  return entries.filter(entry => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
}

function importsIn(file: string, text: string): Import[] {
  return [...text.matchAll(RELATIVE)].map(([, , path = '']) => ({ from: file, to: join(dirname(file), path) }));
}

function roomOf(file: string): string {
  return relative(SRC, file).split(sep)[0] as string;
}

/** What is wrong with an import; null where it is allowed. */
function objection({ from, to }: Import): string | null {
  const [room, other] = [roomOf(from), roomOf(to)];
  const [floor, below] = [FLOORS[room], FLOORS[other]];
  if (floor === undefined || below === undefined) return `${room} or ${other} has no floor`;
  return room === other || below < floor ? null : `${room} (floor ${floor}) imports ${other} (floor ${below})`;
}

test('every import goes to the same room or to a lower floor', async () => {
  const files = (await sourceFiles()).filter(file => file.endsWith('.ts'));
  const texts = await Promise.all(files.map(file => readFile(file, 'utf8')));
  const imports = files.flatMap((file, index) => importsIn(file, texts[index] as string));
  // A tool that reads nothing finds nothing wrong.
  assert.ok(imports.length > files.length, `only ${imports.length} imports found in ${files.length} files`);
  const wrong = imports.flatMap(entry => {
    const reason = objection(entry);
    return reason ? [`${relative(SRC, entry.from)}: ${reason}`] : [];
  });
  assert.deepEqual(wrong, []);
});

test('every folder and file in src is a room', async () => {
  const found = new Set((await sourceFiles()).map(roomOf));
  assert.deepEqual([...found].sort(), Object.keys(FLOORS).sort());
});

test('imports of every form are seen, and wrong ones objected to', () => {
  const file = join(SRC, 'smtp', 'x.ts');
  const text = `
    import a from '../message/a.ts';
    import type { B } from "../store/b.ts";
    import { type C,
      d } from './c.ts';
    export * from '../policy/d.ts';
    import '../queue/e.ts';
    const f = await import('../dev/f.ts');
    type G = import('../cli/g.ts').G;
    new Worker(new URL('../app.ts', import.meta.url));
    import pg from 'pg';`;
  const imports = importsIn(file, text);
  const rooms = imports.map(({ to }) => roomOf(to));
  assert.deepEqual(rooms, ['message', 'store', 'smtp', 'policy', 'queue', 'dev', 'cli', 'app.ts']);
  const allowed = imports.filter(entry => objection(entry) === null).map(({ to }) => roomOf(to));
  assert.deepEqual(allowed, ['message', 'store', 'smtp', 'policy', 'queue']);
  assert.ok(objection({ from: join(SRC, 'store', 'x.ts'), to: join(SRC, 'queue', 'y.ts') }), 'rooms on one floor');
  assert.ok(objection({ from: file, to: join(SRC, 'unknown', 'y.ts') }), 'an unknown room');
});
