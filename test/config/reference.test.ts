import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { isReferenceStale, renderReference, updateReference } from '../../src/config/reference.ts';
import { settings } from '../../src/config/schema.ts';
import { load, writeFiles } from './support/fixtures.ts';

const document = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');

/** The first fenced block of a language in the document. */
function example(language: string): string {
  return new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'ms').exec(document)?.[1] ?? '';
}

describe('docs/configuration.md', () => {
  it('holds the reference of today; `smtp-relay config reference --write` brings it up to date', () => {
    assert.equal(isReferenceStale(document), false);
  });

  it('is stale as soon as the reference differs', () => {
    assert.equal(isReferenceStale(document.replace('| `port` |', '| `Port` |')), true);
    assert.equal(isReferenceStale(document.replace(renderReference(), '')), true);
  });

  it('shows an example in YAML and the same by environment', t => {
    const directory = writeFiles(t, { 'relay.yaml': example('yaml'), url: 'postgres://db/opensend' });
    const fromYaml = load({ SMTP_RELAY_CONFIG: join(directory, 'relay.yaml') }, { checkTlsFiles: false }).config;
    const lines = example('sh').trim().split('\n');
    const { DATABASE_URL_FILE, ...env } = Object.fromEntries(lines.map(line => line.split('=')));
    const fromEnvironment = load(env, { checkTlsFiles: false });
    assert.ok(DATABASE_URL_FILE);
    assert.deepEqual(fromEnvironment.warnings, []);
    assert.deepEqual(fromEnvironment.config, fromYaml);
    assert.equal(fromYaml.limits.connections, 2000);
  });
});

describe('the reference', () => {
  const rows = renderReference().split('\n');

  it('has one row for each setting, with five cells', () => {
    for (const { name, env } of settings) {
      const [row = '', ...more] = rows.filter(line => line.startsWith(`| \`${name}\` | \`${env}\` |`));
      assert.deepEqual(more, []);
      assert.equal(row.split(/(?<!\\)\|/).length, 7, name);
    }
  });

  it('is put between the markers, and nowhere else', () => {
    const updated = updateReference('before\n<!-- reference:start -->\nold\n<!-- reference:end -->\nafter\n');
    const expected = `before\n<!-- reference:start -->\n\n${renderReference()}\n\n<!-- reference:end -->\nafter\n`;
    assert.equal(updated, expected);
    assert.equal(updateReference(updated), updated);
  });

  it('needs the markers', () => assert.throws(() => updateReference('# Configuration'), /reference:start/));
});
