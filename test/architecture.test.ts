import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The floors of `docs/architecture.md`: a room imports only itself and lower floors; rooms on one floor do not meet. */
const FLOORS: Readonly<Record<string, number>> = {
  'main.ts': 10,
  cli: 9,
  'relay.ts': 8,
  'worker.ts': 8,
  'process.ts': 7,
  doctor: 7,
  inbox: 7,
  delivery: 6,
  domains: 6,
  http: 6,
  smtp: 5,
  declared: 5,
  tracking: 5,
  intake: 4,
  events: 4,
  webhooks: 4,
  maintenance: 4,
  store: 3,
  routing: 3,
  queue: 3,
  objects: 3,
  postgres: 2,
  'context.ts': 2,
  message: 1,
  config: 1,
  flow: 1,
  platform: 0,
  observability: 0,
};
/** More files than this are not seen at a glance. */
const MOST_FILES = 18;
/** A file is what is read together. A few lines more are no reason to part one. */
const MOST_LINES = 310;
/** One file a command is easier to find in one folder. */
const LISTS = new Set(['cli']);
/**
 * What each way may know of the folders of `store`; the files beside them are for all. Both know a stored message and the owners'
 * domains and suppressions. How a message is admitted and stored is the way in's, and so are its keys; claims, outcomes, what happens
 * afterwards and how it is shown and removed are the way out's. Who only declares, shows or wires may know both.
 */
const BOTH = ['messages', 'owners'];
const STORES: readonly { readonly rooms: readonly string[]; readonly folders: readonly string[] }[] = [
  { rooms: ['smtp'], folders: [] },
  { rooms: ['intake'], folders: [...BOTH, 'intake', 'keys', 'sessions'] },
  {
    rooms: ['delivery', 'events', 'webhooks', 'tracking', 'maintenance', 'domains', 'queue'],
    folders: [...BOTH, 'delivery', 'events', 'webhooks', 'emails', 'retention'],
  },
];

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

async function importsOfSource(): Promise<Import[]> {
  const files = (await sourceFiles()).filter(file => file.endsWith('.ts'));
  const texts = await Promise.all(files.map(file => readFile(file, 'utf8')));
  const imports = files.flatMap((file, index) => importsIn(file, texts[index] as string));
  // A tool that reads nothing finds nothing wrong.
  assert.ok(imports.length > files.length, `only ${imports.length} imports found in ${files.length} files`);
  return imports;
}

/** Groups of names each of which leads to all others of its group. */
function circlesIn(edges: readonly (readonly [from: string, to: string])[]): string[][] {
  const next = new Map<string, string[]>();
  for (const [from, to] of edges) next.set(from, [...(next.get(from) ?? []), to]);
  const reached = new Map([...next.keys()].map(name => [name, reachedFrom(name, next)]));
  const groups = new Set<string>();
  for (const [name, others] of reached) {
    const group = [...others].filter(other => reached.get(other)?.has(name));
    if (group.length > 0) groups.add([...group].sort().join(' '));
  }
  return [...groups].sort().map(group => group.split(' '));
}

function reachedFrom(name: string, next: ReadonlyMap<string, readonly string[]>): Set<string> {
  const reached = new Set<string>();
  const waiting = [...(next.get(name) ?? [])];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    if (reached.has(at)) continue;
    reached.add(at);
    waiting.push(...(next.get(at) ?? []));
  }
  return reached;
}

/** The folder of `store` in which a file is, or the file beside the folders; null for files elsewhere. */
function storeFolderOf(file: string): string | null {
  const [room, folder] = relative(SRC, file).split(sep);
  return room === 'store' ? (folder as string) : null;
}

test('every import goes to the same room or to a lower floor', async () => {
  const wrong = (await importsOfSource()).flatMap(entry => {
    const reason = objection(entry);
    return reason ? [`${relative(SRC, entry.from)}: ${reason}`] : [];
  });
  assert.deepEqual(wrong, []);
});

test('no file leads back to itself, types counted', async () => {
  const edges = (await importsOfSource()).map(({ from, to }) => [relative(SRC, from), relative(SRC, to)] as const);
  assert.deepEqual(circlesIn(edges), []);
});

test('a circle is found, whatever leads into it or out of it', () => {
  const edges = ['ab', 'bc', 'ca', 'xa', 'cz', 'de', 'ed'].map(([from, to]) => [from, to] as [string, string]);
  assert.deepEqual(circlesIn(edges), [
    ['a', 'b', 'c'],
    ['d', 'e'],
  ]);
});

test('each way knows only its own folders of the store, which have no circle among them', async () => {
  const imports = await importsOfSource();
  const wrong = imports.flatMap(({ from, to }) => {
    const folder = storeFolderOf(to);
    const way = STORES.find(({ rooms }) => rooms.includes(roomOf(from)));
    const isFree = folder === null || folder.endsWith('.ts') || !way || way.folders.includes(folder);
    return isFree ? [] : [`${relative(SRC, from)} imports ${relative(SRC, to)}`];
  });
  assert.deepEqual(wrong, []);
  const edges = imports.flatMap(({ from, to }) => {
    const [folder, other] = [storeFolderOf(from), storeFolderOf(to)];
    return folder === null || other === null || folder === other ? [] : [[folder, other] as const];
  });
  assert.ok(edges.length > 10);
  assert.deepEqual(circlesIn(edges), []);
});

test('no folder has more files than are seen at a glance', async () => {
  const counts = new Map<string, number>();
  for (const file of (await sourceFiles()).filter(name => name.endsWith('.ts'))) {
    const folder = relative(SRC, dirname(file));
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  const crowded = [...counts].filter(([folder, count]) => count > MOST_FILES && !LISTS.has(folder));
  assert.deepEqual(crowded, []);
});

test('no file has more lines than are read together', async () => {
  const files = (await sourceFiles()).filter(name => name.endsWith('.ts'));
  const lines = await Promise.all(files.map(async file => (await readFile(file, 'utf8')).split('\n').length - 1));
  const long = files.flatMap((file, index) => ((lines[index] ?? 0) > MOST_LINES ? [relative(SRC, file)] : []));
  assert.deepEqual(long, []);
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
    export * from '../intake/d.ts';
    import '../queue/e.ts';
    const f = await import('../delivery/f.ts');
    type G = import('../cli/g.ts').G;
    new Worker(new URL('../relay.ts', import.meta.url));
    import pg from 'pg';`;
  const imports = importsIn(file, text);
  const rooms = imports.map(({ to }) => roomOf(to));
  assert.deepEqual(rooms, ['message', 'store', 'smtp', 'intake', 'queue', 'delivery', 'cli', 'relay.ts']);
  const allowed = imports.filter(entry => objection(entry) === null).map(({ to }) => roomOf(to));
  assert.deepEqual(allowed, ['message', 'store', 'smtp', 'intake', 'queue']);
  assert.ok(objection({ from: join(SRC, 'store', 'x.ts'), to: join(SRC, 'queue', 'y.ts') }), 'rooms on one floor');
  assert.ok(objection({ from: file, to: join(SRC, 'unknown', 'y.ts') }), 'an unknown room');
});
