import { readFile, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { parse, stringify } from 'yaml';
import { listMetrics } from '../../../src/cli/config/metrics.ts';
import { dashboardQueries } from '../../dashboard/dashboard.ts';
import { chartPath, projectPath } from '../chart.ts';

/*
 * Every metric that the dashboard and the alerts ask for is one that the program exports. Every runbook is a heading of
 * docs/troubleshooting.md.
 *
 *     node bin/node24.js tools/chart/check/metrics.ts [FILE]      also writes the dashboard's queries as rules, for promtool to read
 */

/** Of every Node process, by prom-client. */
const OF_NODE = ['process_cpu_seconds_total', 'process_resident_memory_bytes', 'nodejs_eventloop_lag_p99_seconds'];

const exported = new Set([...OF_NODE, ...listMetrics().flatMap(({ metrics }) => metrics.map(({ name }) => name))]);

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: { readonly runbook_url: string };
}
const { groups } = parse(await readFile(chartPath('files/monitoring/alerts.yaml'), 'utf8')) as {
  groups: { rules: Alert[] }[];
};
const alerts = groups.flatMap(({ rules }) => rules);

function complain(text: string): void {
  console.error(text);
  process.exitCode = 1;
}

for (const query of [...dashboardQueries(), ...alerts.map(({ expr }) => expr)]) {
  for (const [metric] of query.matchAll(/\b(smtp_relay|nodejs|process)_\w+/g)) {
    // A histogram is exported under three names.
    if (!exported.has(metric) && !exported.has(metric.replace(/_(bucket|sum|count)$/, '')))
      complain(`no such metric: ${metric} in ${query}`);
  }
}

const troubleshooting = await readFile(projectPath('docs/troubleshooting.md'), 'utf8').catch(() => null);
if (troubleshooting !== null) {
  const anchors = new Set(Array.from(troubleshooting.matchAll(/^#+ (.*)$/gm), ([, heading = '']) => anchorOf(heading)));
  for (const { alert, annotations } of alerts) {
    const anchor = annotations.runbook_url.split('#')[1] ?? '';
    if (!anchors.has(anchor)) complain(`docs/troubleshooting.md has no heading #${anchor}, the runbook of ${alert}`);
  }
}

const [file] = process.argv.slice(2);
if (file) {
  const rules = dashboardQueries().map((query, index) => {
    // What Grafana fills in.
    const expr = query
      .replaceAll('$__rate_interval', '5m')
      .replaceAll('$namespace', 'post')
      .replaceAll('$release', 'mail');
    return { record: `panel:${index}`, expr };
  });
  await writeFile(file, stringify({ groups: [{ name: 'dashboard', rules }] }));
}

function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');
}
