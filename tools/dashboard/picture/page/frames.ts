import {
  type DataFrame,
  type Field,
  FieldType,
  fieldMatchers,
  type GrafanaTheme2,
  getDisplayProcessor,
  stringToJsRegex,
  toDataFrame,
} from '@grafana/data';
import type { DashboardOverride, DashboardTransformation, DrawnPanel } from '../picture.ts';

/** What Grafana fills in where a dashboard says nothing. */
const THRESHOLDS: Thresholds = {
  mode: 'absolute',
  steps: [
    { value: null, color: 'green' },
    { value: 80, color: 'red' },
  ],
};
const CUSTOM = {
  drawStyle: 'line',
  lineInterpolation: 'linear',
  axisPlacement: 'auto',
  axisColorMode: 'text',
  scaleDistribution: { type: 'linear' },
  gradientMode: 'none',
  spanNulls: false,
  hideFrom: { legend: false, tooltip: false, viz: false },
  thresholdsStyle: { mode: 'off' },
};

interface Thresholds {
  readonly mode: string;
  readonly steps: readonly { readonly value: number | null; readonly color: string }[];
}

interface Defaults {
  readonly custom?: object;
  readonly thresholds?: Thresholds;
}

/** The lines of a panel as Grafana's frames, with its field configuration. */
export function framesOf(
  { lines, fieldConfig, type, transformations = [] }: DrawnPanel,
  theme: GrafanaTheme2,
): DataFrame[] {
  const { custom, thresholds = THRESHOLDS, ...defaults } = (fieldConfig?.defaults ?? {}) as Defaults;
  const color = { mode: type === 'stat' ? 'thresholds' : 'palette-classic' };
  // In JSON there is no infinity.
  const steps = thresholds.steps.map(({ value, color }) => ({ value: value ?? Number.NEGATIVE_INFINITY, color }));
  return lines.map(({ refId, legend, times, values }, seriesIndex) => {
    const config = {
      color,
      ...defaults,
      thresholds: { ...thresholds, steps },
      custom: { ...CUSTOM, ...custom },
      displayNameFromDS: nameOf(legend, transformations),
    };
    const frame = toDataFrame({
      refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: times },
        { name: 'Value', type: FieldType.number, values, config },
      ],
    });
    for (const field of frame.fields) override(field, frame, fieldConfig?.overrides ?? []);
    for (const field of frame.fields) field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
    for (const field of frame.fields) field.state = { seriesIndex };
    return frame;
  });
}

function nameOf(legend: string, transformations: readonly DashboardTransformation[]): string {
  const rename = (name: string, { options: { regex, renamePattern } }: DashboardTransformation) =>
    name.replace(stringToJsRegex(regex), renamePattern);
  return transformations.reduce(rename, legend);
}

/** Applies those that are for the field. Only properties outside `custom` are set: this dashboard has no others. */
function override(field: Field, frame: DataFrame, overrides: readonly DashboardOverride[]): void {
  for (const { matcher, properties } of overrides) {
    if (!fieldMatchers.get(matcher.id).get(matcher.options)(field, frame, [frame])) continue;
    for (const { id, value } of properties) Object.assign(field.config, { [id]: value });
  }
}
