import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DEV_COMMANDS } from '../dev/commands.ts';
import { run } from '../src/cli/program.ts';
import { settings } from '../src/config/schema.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

interface Document {
  /** Relative to the project. */
  readonly name: string;
  readonly text: string;
  /** The text without fenced blocks, where neither links nor headings are. */
  readonly prose: string;
}

async function readDocuments(): Promise<Document[]> {
  const folders = ['.', 'docs', 'bench'];
  const names = await Promise.all(
    folders.map(async folder => (await readdir(join(ROOT, folder))).map(name => join(folder, name))),
  );
  const markdown = names.flat().filter(name => name.endsWith('.md'));
  return Promise.all(
    markdown.map(async name => {
      const text = await readFile(join(ROOT, name), 'utf8');
      return { name, text, prose: text.replaceAll(/^```[\s\S]*?^```$/gm, '') };
    }),
  );
}

const documents = await readDocuments();
/** Files below `src/`, with a slash between folders. */
const sources = (await readdir(join(ROOT, 'src'), { recursive: true })).map(name => name.replaceAll('\\', '/'));
assert.ok(documents.some(({ name }) => name === 'README.md') && documents.length >= 7);

/** All first groups, or whole matches, of a pattern. */
function all(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(match => match[1] ?? match[0]);
}

/** Heading anchors as GitHub makes them. */
function anchorsOf({ prose }: Document): Set<string> {
  const anchors = new Set<string>();
  for (const heading of all(prose, /^#{1,6} (.+)$/gm)) {
    const slug = heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-');
    let anchor = slug;
    for (let count = 1; anchors.has(anchor); count += 1) anchor = `${slug}-${count}`;
    anchors.add(anchor);
  }
  return anchors;
}

/** What is wrong with a relative link; undefined where it leads somewhere. */
function linkProblem(document: Document, link: string): string | undefined {
  const [path = '', anchor] = link.split('#');
  const target = path === '' ? document.name : relative(ROOT, join(ROOT, dirname(document.name), path));
  if (!existsSync(join(ROOT, target))) return `${link}: no such file`;
  if (anchor === undefined) return undefined;
  const linked = documents.find(({ name }) => name === target);
  return linked && anchorsOf(linked).has(anchor) ? undefined : `${link}: no such heading`;
}

const FOLDERS = /^(?:src|dev|test|docs|bench|tools|bin|examples|\.ci)\//;
const FILE = /^[\w./-]+\.(?:ts|mjs|py|md|sql)$/;

/** Whether a word in backticks names a file or folder of the project; `/etc/x`, `*.yaml` and `<name>.ts` do not. */
function isFileName(word: string): boolean {
  return /^[\w./-]+$/.test(word) && !word.startsWith('/') && (FOLDERS.test(word) || FILE.test(word));
}

function isInProject({ name }: Document, file: string): boolean {
  return ['', 'src', dirname(name)].some(folder => existsSync(join(ROOT, folder, file)));
}

async function help(command: readonly string[]): Promise<string> {
  let output = '';
  const stream = {
    write: (text: string) => {
      output += text;
    },
  } as unknown as NodeJS.WritableStream;
  const context = {
    env: {},
    stdin: Readable.from([]),
    stdout: stream,
    stderr: stream,
    takeSignals: () => assert.fail('takes signals'),
    onHangUp: () => assert.fail('takes signals'),
    surviveFaults: () => assert.fail('runs'),
  };
  assert.equal(await run([...command, '--help'], context, DEV_COMMANDS), 0);
  return output;
}

/** The commands below one, as its help lists them. */
async function commandsOf(...command: string[]): Promise<Set<string>> {
  return new Set(all((await help(command)).split('Commands:')[1] ?? '', /^ {2}([a-z]+)\b/gm));
}

for (const document of documents) {
  describe(document.name, () => {
    it('has no dead link', () => {
      const links = all(document.prose, /\]\(([^)\s]+)\)/g).filter(link => !/^https?:/.test(link));
      assert.deepEqual(links.map(link => linkProblem(document, link)).filter(Boolean), []);
    });

    it('names no file that does not exist', () => {
      const words = all(document.prose, /`([^`\n]+)`/g).filter(isFileName);
      assert.deepEqual(
        words.filter(word => !isInProject(document, word)),
        [],
      );
    });

    it('names no file in a drawing that does not exist', () => {
      const drawings = all(document.text, /^```text\n([\s\S]*?)^```$/gm);
      const words = drawings.flatMap(drawing => all(drawing, /[\w/-]+\.ts\b/g));
      assert.deepEqual(
        words.filter(word => !sources.some(source => source === word || source.endsWith(`/${word}`))),
        [],
      );
    });

    it('names no make target and no npm script that does not exist', async () => {
      const targets = all(await readFile(join(ROOT, 'Makefile'), 'utf8'), /^([a-z0-9-]+):/gm);
      const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
      const made = all(document.text, /(?:`|^|; )make ([a-z0-9-]+)/gm);
      const npm = all(document.text, /\bnpm (?:run )?(start|test|(?<=run )[a-z:-]+)/g);
      assert.deepEqual([...made.filter(name => !targets.includes(name)), ...npm.filter(name => !scripts[name])], []);
    });

    it('names no command that does not exist', async () => {
      const known = await commandsOf();
      for (const line of all(document.text, /smtp-relay ((?:[a-z]+ ?)+)(?:`|$| |--|<)/gm)) {
        const [command = '', sub] = line.trim().split(' ');
        if (!known.has(command)) continue;
        const below = await commandsOf(command);
        if (below.size > 0 && sub !== undefined) assert.ok(below.has(sub), `smtp-relay ${command} ${sub}`);
      }
      const typed = all(document.text, /npx smtp-relay ([a-z-]+)/g);
      assert.deepEqual(
        typed.filter(command => !known.has(command)),
        [],
      );
    });

    it('names no variable that does not exist', () => {
      const known = new Set(settings.map(({ env }) => env));
      // Those that name the other sources, and the one that shows how names are made.
      for (const name of ['SMTP_RELAY_CONFIG', 'SMTP_RELAY_SECRETS_DIR', 'SMTP_RELAY_A_B_CD']) known.add(name);
      const named = all(document.text, /\bSMTP_RELAY_[A-Z_]*[A-Z]\b(?!…)/g);
      assert.deepEqual(
        named.filter(name => !known.has(name)),
        [],
      );
    });
  });
}

it('comments name no file that does not exist', async () => {
  for (const file of sources.filter(name => name.endsWith('.ts'))) {
    const source = await readFile(join(ROOT, 'src', file), 'utf8');
    const comments = all(source, /\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm).join('\n');
    const named = all(comments, /`([\w./-]+\.ts)`/g);
    const known = (name: string) =>
      existsSync(join(ROOT, name)) || sources.some(other => other === name || other.endsWith(`/${name}`));
    assert.deepEqual(
      named.filter(name => !known(name)),
      [],
      file,
    );
  }
});

it('docs/replies.md has every reply of the relay’s own', async () => {
  const replies = documents.find(({ name }) => name === join('docs', 'replies.md'))?.text ?? '';
  const found = new Set<string>();
  const files = await readdir(join(ROOT, 'src'), { recursive: true });
  for (const file of files.filter(name => /^(?:smtp|intake|routing|message)\/.*\.ts$/.test(name))) {
    const source = await readFile(join(ROOT, 'src', file), 'utf8');
    const refusals = source.matchAll(/code: (\d{3}),\s*enhancedCode: '([\d.]+)'/g);
    const sent = source.matchAll(/send\((\d{3}), ['`]([245]\.\d+\.\d+) /g);
    for (const [, code, enhancedCode] of [...refusals, ...sent]) found.add(`${code} ${enhancedCode}`);
  }
  found.delete('235 2.7.0');
  assert.ok(found.size >= 20, [...found].join());
  assert.deepEqual(
    [...found].filter(reply => !replies.includes(reply)),
    [],
  );
});

describe('docs/README.md', () => {
  it('leads to every page, each once', () => {
    const index = documents.find(({ name }) => name === 'docs/README.md');
    assert.ok(index);
    const linked = all(index.prose, /\]\(([\w-]+\.md)\)/g).map(name => `docs/${name}`);
    const pages = documents.map(({ name }) => name).filter(name => name.startsWith('docs/') && name !== index.name);
    assert.deepEqual(linked.toSorted(), pages.toSorted());
  });
});
