import type { TimeRange } from '@grafana/data';
import { LegendDisplayMode } from '@grafana/schema';
import { BigValue, type BigValueColorMode, BigValueGraphMode, PanelChrome, TimeSeries, useTheme2 } from '@grafana/ui';
import type { DrawnPanel } from '../picture.ts';
import { framesOf } from './frames.ts';

interface Props {
  readonly panel: DrawnPanel;
  readonly timeRange: TimeRange;
  readonly width: number;
  readonly height: number;
}

/** A panel as Grafana's own components draw it. */
export function DashboardPanel({ panel, timeRange, width, height }: Props) {
  if (panel.type === 'row') return <h2 style={{ fontSize: 16, lineHeight: '30px', margin: 0 }}>{panel.title}</h2>;
  const Content = panel.type === 'stat' ? Stat : Graph;
  return (
    <PanelChrome title={panel.title} description={panel.description ?? ''} width={width} height={height}>
      {(width, height) => <Content panel={panel} timeRange={timeRange} width={width} height={height} />}
    </PanelChrome>
  );
}

function Graph({ panel, timeRange, width, height }: Props) {
  const theme = useTheme2();
  const frames = framesOf(panel, theme);
  if (frames.length === 0) return <NoData height={height} />;
  return (
    <TimeSeries
      frames={frames}
      structureRev={1}
      timeRange={timeRange}
      timeZone="utc"
      width={width}
      height={height}
      legend={{ displayMode: LegendDisplayMode.List, placement: 'bottom', showLegend: true, calcs: [] }}
      options={{}}
    />
  );
}

function Stat({ panel, width, height }: Props) {
  const theme = useTheme2();
  const field = framesOf(panel, theme)[0]?.fields[1];
  const value = field?.display?.(field.values.at(-1));
  if (!value) return <NoData height={height} />;
  const colorMode = panel.options?.['colorMode'] as BigValueColorMode;
  return (
    <BigValue
      value={value}
      width={width}
      height={height}
      theme={theme}
      colorMode={colorMode}
      graphMode={BigValueGraphMode.None}
    />
  );
}

function NoData({ height }: { readonly height: number }) {
  return <div style={{ lineHeight: `${height}px`, textAlign: 'center' }}>No data</div>;
}
