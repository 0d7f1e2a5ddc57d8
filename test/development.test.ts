import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** A line of the table "to add a …, touch these files". */
interface Row {
  readonly what: string;
  /** One that there is already. */
  readonly example: string;
  readonly files: readonly string[];
}

function rowsIn(document: string): Row[] {
  const [, table = ''] = /\| To add \|.*\n\|[ -|]*\n((?:\|.*\n)+)/.exec(document) ?? [];
  return table.split('\n').flatMap(line => {
    const [, what = '', as = '', touch = ''] = line.split('|').map(cell => cell.trim());
    const files = [...touch.matchAll(/`([^`]+)`/g)].map(([, file = '']) => file);
    return what === '' ? [] : [{ what, example: as.replaceAll('`', ''), files }];
  });
}

const rows = rowsIn(await readFile(join(ROOT, 'docs/development.md'), 'utf8'));

/** `smtp_utf8`, `smtpUtf8` and `smtp-utf8` are one name. */
const bare = (text: string) => text.toLowerCase().replaceAll(/[_-]/g, '');

/** How an example is named in the code where it is known, and by nothing else. */
const NAMES: Readonly<Record<string, RegExp>> = {
  'a setting': /\bhitsPerHour\b/,
  'a transport': /'\.\/capture\.ts'|\bcreateCaptureTransport\b|\bcapture = describeTransport\b/,
  'a declared kind': /\bsmtpCredential\b/,
  'a field of a declared kind': /\bsecretFile\b/,
  'a fact of its arrival': /\breceivedBy\b/,
  'a webhook event': /\bdelivery_delayed\b/,
  metrics: /\bcreateLiveConfigMetrics\b/,
  'a command': /\baddKeysCommands\b/,
};
/** A new one touches no more files. */
const MOST: Readonly<Record<string, number>> = {
  'a transport': 4,
  'a declared kind': 3,
  'a field of a declared kind': 1,
  'a webhook event': 2,
  'a control header': 3,
  'a column of the message': 2,
  'a fact of its arrival': 3,
  'a command': 2,
  metrics: 2,
};

async function filesThatName(pattern: RegExp): Promise<string[]> {
  const names = (await readdir(join(ROOT, 'src'), { recursive: true })).filter(name => name.endsWith('.ts'));
  const texts = await Promise.all(names.map(name => readFile(join(ROOT, 'src', name), 'utf8')));
  return names.filter((_, index) => pattern.test(texts[index] ?? '')).map(name => `src/${name}`);
}

describe('the table of what to touch', () => {
  it('has a line for everything that is added often', () => {
    assert.deepEqual(
      rows.map(({ what }) => what),
      [
        'a setting',
        'a transport',
        'a declared kind',
        'a field of a declared kind',
        'a webhook event',
        'a control header',
        'a column of the message',
        'a fact of its arrival',
        'metrics',
        'a command',
        'a migration',
        'a page',
      ],
    );
  });

  for (const { what, example, files } of rows) {
    it(`names files for ${what} that are there, and know ${example}`, async () => {
      assert.ok(files.length > 0);
      for (const file of files) {
        assert.ok(existsSync(join(ROOT, file)), `${file} is not there`);
        const text = file + (await readFile(join(ROOT, file), 'utf8'));
        assert.ok(bare(text).includes(bare(example)), `${file} says nothing of ${example}`);
      }
    });
  }

  for (const [what, pattern] of Object.entries(NAMES)) {
    it(`names every file for ${what}`, async () => {
      const { files = [] } = rows.find(row => row.what === what) ?? {};
      assert.deepEqual([...files].sort(), (await filesThatName(pattern)).sort());
    });
  }

  for (const [what, most] of Object.entries(MOST)) {
    it(`has no more than ${most} files for ${what}`, () => {
      const { files = [] } = rows.find(row => row.what === what) ?? {};
      assert.ok(files.length <= most, files.join(', '));
    });
  }
});
