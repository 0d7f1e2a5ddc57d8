/** Units by Grafana's ids: `mps` is messages, `eps` events, `reqps` requests, `ops` anything else a second. */
export type Unit = 'short' | 'mps' | 'eps' | 'reqps' | 'ops' | 's' | 'bytes' | 'percentunit' | 'none';

export interface Panel {
  readonly title: string;
  readonly description: string;
  readonly unit: Unit;
  /** Query -> legend. */
  readonly queries: Readonly<Record<string, string>>;
  readonly kind?: 'timeseries' | 'stat';
  /** Of 24; 8 unless given. */
  readonly width?: number;
  readonly stacked?: boolean;
  /** Whether its lines are outcomes, good ones and bad ones, and coloured as such. */
  readonly ofOutcomes?: boolean;
  /** The colour of a stat: the first one, and from which value on it is another. */
  readonly colours?: readonly [Colour, ...(readonly [from: number, Colour])[]];
}

export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

/** Those of Grafana's palette that are used. */
export type Colour = 'green' | 'blue' | 'purple' | 'yellow' | 'orange' | 'red' | 'dark-red';

/** Pods of this release, and not those of another one whose name begins alike. */
const S = 'namespace="$namespace", pod=~"$release-(relay|worker)-.*"';

/** The series of a metric. */
export function series(metric: string, labels = ''): string {
  return `${metric}{${S}${labels && `, ${labels}`}}`;
}

/** Of a counter, a second. */
export function rate(metric: string, labels = ''): string {
  return `rate(${series(metric, labels)}[$__rate_interval])`;
}

/** Of a histogram. */
export function mean(metric: string): string {
  return `sum(${rate(`${metric}_sum`)}) / sum(${rate(`${metric}_count`)})`;
}

/** Of a histogram. @param by further labels to keep, separated by commas */
export function quantile(q: number, metric: string, by = ''): string {
  return `histogram_quantile(${q}, sum by (le${by && `, ${by}`}) (${rate(`${metric}_bucket`)}))`;
}

/** The middle, and what few wait longer for. */
export function quantiles(metric: string): Record<string, string> {
  return { [quantile(0.5, metric)]: 'p50', [quantile(0.95, metric)]: 'p95', [quantile(0.99, metric)]: 'p99' };
}
