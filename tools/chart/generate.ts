import { readFile, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { settings } from '../../src/config/schema.ts';
import { renderDashboard } from '../dashboard/dashboard.ts';
import { renderAdmissionRules } from './admission-rules.ts';
import { chartPath } from './chart.ts';
import { renderMovedValues } from './moved-values.ts';
import { renderValuesSchema } from './values-schema.ts';

/*
 * Writes the files of the chart that are made from others, or with --check says which are stale:
 *
 *     node bin/node24.js tools/chart/generate.ts [--check]
 */

/** What the chart has to know of settings: which take a restart. */
function renderSettings(): string {
  return `${JSON.stringify(
    settings.map(({ name, env, reloadable }) => ({ name, env, reloadable })),
    null,
    1,
  )}\n`;
}

const FILES: Readonly<Record<string, () => string | Promise<string>>> = {
  'values.schema.json': renderValuesSchema,
  'files/settings.json': renderSettings,
  'files/admission-rules.json': renderAdmissionRules,
  'files/moved.json': renderMovedValues,
  'files/monitoring/dashboard.json': renderDashboard,
};

const isCheck = process.argv.includes('--check');
for (const [name, render] of Object.entries(FILES)) {
  const path = chartPath(name);
  const text = await render();
  if (isCheck) {
    const present = await readFile(path, 'utf8').catch(() => '');
    if (present === text) continue;
    console.error(`charts/opensend-smtp-relay/${name} is stale: run make generate`);
    process.exitCode = 1;
  } else {
    await writeFile(path, text);
  }
}
