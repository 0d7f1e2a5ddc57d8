import { DELIVERY, EVENTS, OUTBOX } from './delivery.ts';
import { AT_A_GLANCE, CLIENTS, MESSAGES_IN } from './intake.ts';
import type { Colour, Panel, Row } from './panel.ts';
import { PODS } from './pods.ts';

/**
 * What Grafana's dashboard shows, from above: first whether all is well, then the way of a message. Each panel is a question of
 * docs/metrics.md; metric names are checked against that document by chart/check/metrics.ts.
 */
const ROWS: readonly Row[] = [AT_A_GLANCE, MESSAGES_IN, CLIENTS, OUTBOX, DELIVERY, EVENTS, PODS];

const DATASOURCE = { type: 'prometheus', uid: '$datasource' };
/** Three beside each other, where a panel does not say otherwise. */
const WIDTH = 8;
const HEIGHT = { timeseries: 8, stat: 4 };

/** Every pod of the dashboard is of one release: what follows its name is enough for a legend. */
const WITHOUT_RELEASE = { id: 'renameByRegex', options: { regex: '.*-((?:relay|worker)-.+)', renamePattern: '$1' } };

/** Series by the end of their names, so that good and bad look the same on all panels. */
const OUTCOMES: Readonly<Record<Colour, readonly string[]>> = {
  green: ['queued', 'succeeded', '2xx', 'published', 'sent', 'delivered', 'success'],
  blue: ['repeated', 'trusted', '3xx', 'suppressed', 'opened', 'timeout'],
  purple: ['captured', 'held', 'clicked', 'lost', 'unsigned'],
  yellow: ['refused', 'unknown'],
  orange: ['deferred', '4xx', 'transient', 'retry', 'delivery_delayed', 'rejected'],
  red: ['failed', '5xx', 'permanent', 'bounced', 'unreachable'],
  'dark-red': ['fault', 'complained', 'dead letters'],
};

/** Every query of the dashboard, for checks. */
export function dashboardQueries(): string[] {
  return ROWS.flatMap(({ panels }) => panels.flatMap(({ queries }) => Object.keys(queries)));
}

/** The dashboard as Grafana reads it. */
export function renderDashboard(): string {
  const panels: unknown[] = [];
  let y = 0;
  let id = 1;
  for (const row of ROWS) {
    panels.push({
      id: id++,
      type: 'row',
      title: row.title,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y: y++, w: 24, h: 1 },
    });
    let x = 0;
    let height = 0;
    for (const panel of row.panels) {
      const kind = panel.kind ?? 'timeseries';
      const w = panel.width ?? WIDTH;
      if (x + w > 24) [x, y, height] = [0, y + height, 0];
      panels.push(renderPanel(panel, id++, { x, y, w, h: HEIGHT[kind] }));
      [x, height] = [x + w, Math.max(height, HEIGHT[kind])];
    }
    y += height;
  }
  const dashboard = {
    uid: 'opensend-smtp-relay',
    title: 'OpenSend SMTP relay',
    tags: ['smtp', 'opensend'],
    timezone: 'browser',
    schemaVersion: 39,
    version: 1,
    refresh: '30s',
    // The cursor shows on all panels at once.
    graphTooltip: 1,
    time: { from: 'now-3h', to: 'now' },
    templating: { list: variables() },
    annotations: { list: [] },
    panels,
  };
  return `${JSON.stringify(dashboard, null, 2)}\n`;
}

function variables() {
  const query = (name: string, label: string, from: string) => ({
    name,
    label,
    type: 'query',
    datasource: DATASOURCE,
    query: { query: from, refId: name },
    refresh: 2,
    sort: 1,
  });
  return [
    { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus' },
    query('namespace', 'Namespace', 'label_values(smtp_relay_build_info, namespace)'),
    {
      ...query('release', 'Release', 'label_values(smtp_relay_build_info{namespace="$namespace"}, pod)'),
      // The name of a pod is release, role, and two words of Kubernetes' own.
      regex: '/^(.*)-(?:relay|worker)-[a-z0-9]+-[a-z0-9]+$/',
    },
  ];
}

/** Points lead from it to traces (docs/tracing.md). */
const WITH_EXEMPLARS = 'smtp_relay_acceptance_duration_seconds_bucket';

function renderPanel(panel: Panel, id: number, gridPos: object) {
  const { title, description, queries, kind = 'timeseries' } = panel;
  const targets = Object.entries(queries).map(([expr, legendFormat], index) => ({
    refId: String.fromCharCode(65 + index),
    datasource: DATASOURCE,
    expr,
    legendFormat,
    ...(kind === 'stat' ? { instant: true } : expr.includes(WITH_EXEMPLARS) && { exemplar: true }),
  }));
  const isByPod = Object.values(queries).some(legend => legend.includes('{{pod}}'));
  const transformations = isByPod ? [WITHOUT_RELEASE] : [];
  const look = kind === 'stat' ? renderStat(panel) : renderGraph(panel);
  return { id, type: kind, title, description, datasource: DATASOURCE, gridPos, targets, transformations, ...look };
}

function renderStat({ unit, colours }: Panel) {
  const [first, ...others] = colours ?? [];
  const steps = [{ value: null, color: first }, ...others.map(([value, color]) => ({ value, color }))];
  return {
    fieldConfig: {
      defaults: { unit, ...(first && { color: { mode: 'thresholds' }, thresholds: { mode: 'absolute', steps } }) },
      overrides: [],
    },
    options: {
      reduceOptions: { calcs: ['lastNotNull'] },
      colorMode: first ? 'value' : 'none',
      graphMode: 'none',
    },
  };
}

function renderGraph({ unit, stacked = false, ofOutcomes = false }: Panel) {
  const custom = {
    // A line on top of a stack would have the colour of the last series, also where that is 0.
    fillOpacity: stacked ? 60 : 0,
    lineWidth: stacked ? 0 : 1,
    showPoints: 'never',
    stacking: { mode: stacked ? 'normal' : 'none' },
  };
  return {
    fieldConfig: { defaults: { unit, min: 0, custom }, overrides: ofOutcomes ? outcomeColours() : [] },
    options: {
      legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
  };
}

function outcomeColours() {
  return Object.entries(OUTCOMES).map(([fixedColor, names]) => ({
    matcher: { id: 'byRegexp', options: `/(?:^| )(?:${names.join('|')})$/` },
    properties: [{ id: 'color', value: { mode: 'fixed', fixedColor } }],
  }));
}
