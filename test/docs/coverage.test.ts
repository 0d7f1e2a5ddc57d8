import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ROOT } from './documents.ts';
import { allCommands, commandsFor, RUNNERS, runnerOf } from './who-runs.ts';

describe('commands of the documents', () => {
  it('are run, each by a file that is there', () => {
    const nobodys = allCommands.filter(command => runnerOf(command) === undefined);
    assert.deepEqual(
      nobodys.map(({ document, text }) => `${document}: ${text}`),
      [],
      'nobody runs these: see test/docs/who-runs.ts',
    );
  });

  for (const { by } of RUNNERS) {
    it(`${by} asks for its own`, async () => {
      assert.ok(commandsFor(by).length > 0, 'it has none');
      const text = await readFile(join(ROOT, by), 'utf8');
      const asks = text.includes(`For('${by}')`);
      const reads = [...new Set(commandsFor(by).map(({ document }) => document))];
      assert.ok(asks || reads.every(document => text.includes(document)), `it reads ${reads.join(', ')} nowhere`);
    });
  }
});
