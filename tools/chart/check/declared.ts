import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { createDeclarationReader } from '../../../src/declared/plan/declarations.ts';
import { type Manifest, renderChart } from '../chart.ts';

/*
 * Ten thousand declared credentials render into ConfigMaps that Kubernetes and `kubectl apply` take; the program reads all of them as
 * one set, without a problem; and one more moves none of the others. Without --all, a tenth of that.
 *
 *     node bin/node24.js tools/chart/check/declared.ts [--all]
 */

const COUNT = process.argv.includes('--all') ? 10_000 : 1_000;
/** Of all annotations of an object; `kubectl apply` keeps the whole object in one. */
const MOST_ANNOTATIONS = 262_144;

const folder = await mkdtemp(join(tmpdir(), 'smtp-relay-declared-'));
try {
  const before = await render(COUNT);
  const after = await render(COUNT + 1);
  for (const map of before) {
    const size = JSON.stringify(map).length;
    assert.ok(size < MOST_ANNOTATIONS, `${map.metadata.name} has ${size} bytes`);
  }
  await assertIsWhole(before);
  const changed = before.filter((map, part) => documentsOf(map) !== documentsOf(after[part]));
  assert.equal(after.length, before.length);
  assert.ok(changed.length <= 1, `one more document changed ${changed.length} of ${before.length} ConfigMaps`);
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function render(count: number): Promise<Manifest[]> {
  const names = Array.from({ length: count }, (_, index) => `customer-${index}`);
  const documents = names.map(name => {
    const keyHash = createHash('sha256').update(name).digest('hex');
    return [name, { kind: 'SmtpCredential', spec: { owner: name, keyHash } }] as const;
  });
  const values = {
    secrets: { databaseUrl: { existingSecret: 'db' } },
    tls: { mode: 'none' },
    declared: { enabled: true, documents: Object.fromEntries(documents) },
  };
  const file = join(folder, 'values.json');
  await writeFile(file, JSON.stringify(values));
  return renderChart('r', '--values', file, '--show-only', 'templates/config/declared.yaml');
}

function documentsOf(map: Manifest | undefined): string {
  const entries = Object.entries<string>(map?.['data'] ?? {}).filter(([name]) => name.endsWith('.yaml'));
  return entries.map(([, text]) => text).join();
}

/** As the kubelet mounts them: all in one folder. */
async function assertIsWhole(maps: readonly Manifest[]): Promise<void> {
  for (const map of maps) {
    for (const [name, text] of Object.entries<string>(map['data'])) {
      await writeFile(join(folder, name), text);
    }
  }
  await rm(join(folder, 'values.json'), { force: true });
  const declarations = await createDeclarationReader()([folder], { documents: folder, secrets: folder });
  assert.deepEqual([declarations.problems, declarations.isWhole, declarations.all.length], [[], true, COUNT]);
}
