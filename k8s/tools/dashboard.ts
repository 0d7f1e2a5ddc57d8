import { type Panel, ROWS } from './dashboard-panels.ts';

const DATASOURCE = { type: 'prometheus', uid: '$datasource' };
const HEIGHT = { timeseries: 8, stat: 4 };

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
      const w = panel.width ?? 12;
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

function renderPanel(panel: Panel, id: number, gridPos: object) {
  const { title, description, unit, queries, kind = 'timeseries', stacked = false } = panel;
  const targets = Object.entries(queries).map(([expr, legendFormat], index) => ({
    refId: String.fromCharCode(65 + index),
    datasource: DATASOURCE,
    expr,
    legendFormat,
    ...(kind === 'stat' && { instant: true }),
  }));
  const custom = {
    fillOpacity: stacked ? 30 : 10,
    lineWidth: 1,
    showPoints: 'never',
    stacking: { mode: stacked ? 'normal' : 'none' },
  };
  return {
    id,
    type: kind,
    title,
    description,
    datasource: DATASOURCE,
    gridPos,
    targets,
    fieldConfig: {
      defaults: { unit, min: unit === 'dateTimeFromNow' ? undefined : 0, ...(kind === 'timeseries' && { custom }) },
      overrides: [],
    },
    options:
      kind === 'stat'
        ? { reduceOptions: { calcs: ['lastNotNull'] }, colorMode: 'value', graphMode: 'area' }
        : { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi', sort: 'desc' } },
  };
}
