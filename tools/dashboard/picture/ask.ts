import type { Dashboard, DashboardPanel, DashboardTarget, DashboardVariable, DrawnPanel, Line } from './picture.ts';
import { type Labels, type Prometheus, type Range, SCRAPE_INTERVAL, type Series } from './prometheus.ts';

/** As Grafana has it: four scrapes, so that a rate has two samples also where one was missed. */
const RATE_INTERVAL = `${4 * SCRAPE_INTERVAL}s`;

type Values = Readonly<Record<string, string>>;

/** The first value of each variable, as Grafana chooses when a dashboard is opened. @throws Error where one has none */
export async function askVariables({ templating }: Dashboard, prometheus: Prometheus, range: Range): Promise<Values> {
  const values: Record<string, string> = {};
  for (const variable of templating.list) {
    if (variable.type !== 'query') continue;
    const [value] = await choicesOf(variable, values, prometheus, range);
    if (value === undefined) throw new Error(`the variable ${variable.name} has no value`);
    values[variable.name] = value;
  }
  return values;
}

/** The panel with what its queries come to. */
export async function askPanel(
  panel: DashboardPanel,
  prometheus: Prometheus,
  range: Range,
  variables: Values,
): Promise<DrawnPanel> {
  const lines: Line[] = [];
  for (const target of panel.targets ?? []) {
    const query = fill(target.expr, { ...variables, __rate_interval: RATE_INTERVAL });
    const series = target.instant ? await prometheus.instant(query, range.to) : await prometheus.range(query, range);
    lines.push(...series.map(one => lineOf(one, target)).sort((a, b) => a.legend.localeCompare(b.legend)));
  }
  return { ...panel, lines };
}

async function choicesOf(
  { name, query, regex }: DashboardVariable,
  values: Values,
  prometheus: Prometheus,
  range: Range,
): Promise<string[]> {
  const text = fill(typeof query === 'string' ? query : query.query, values);
  const [, metric, label] = /^label_values\((.+), *(\w+)\)$/.exec(text) ?? [];
  if (!metric || !label) throw new Error(`the variable ${name} is not of label_values()`);
  const found = await prometheus.labelValues(metric, label, range);
  if (!regex) return [...found];
  const pattern = new RegExp(regex.slice(1, regex.lastIndexOf('/')));
  return [...new Set(found.flatMap(value => pattern.exec(value)?.[1] ?? []))].sort();
}

function fill(text: string, values: Values): string {
  return text.replaceAll(/\$(\w+)/g, (whole, name: string) => values[name] ?? whole);
}

function lineOf({ metric, values }: Series, { refId, legendFormat }: DashboardTarget): Line {
  return {
    refId,
    legend: legendOf(metric, legendFormat),
    times: values.map(([time]) => time * 1000),
    values: values.map(([, value]) => (Number.isFinite(Number(value)) ? Number(value) : null)),
  };
}

function legendOf(metric: Labels, format: string): string {
  return format.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '');
}
