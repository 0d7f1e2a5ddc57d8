import { createTheme, dateTime } from '@grafana/data';
import { GlobalStyles, ThemeContext } from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import { type DrawnPanel, GRID, heightOf, type Picture } from '../picture.ts';
import { DashboardPanel } from './panel.tsx';

const theme = createTheme({ colors: { mode: 'light' } });

function Dashboard({ title, variables, from, to, panels }: Picture) {
  const [start, end] = [dateTime(from * 1000), dateTime(to * 1000)];
  const timeRange = { from: start, to: end, raw: { from: start, to: end } };
  return (
    <div style={{ position: 'relative', width: GRID.width, height: heightOf(panels) }}>
      <Head title={title} variables={variables} />
      {panels.map(panel => (
        <div key={`${panel.gridPos.x} ${panel.gridPos.y}`} style={{ position: 'absolute', ...boxOf(panel) }}>
          <DashboardPanel panel={panel} timeRange={timeRange} {...boxOf(panel)} />
        </div>
      ))}
    </div>
  );
}

function Head({ title, variables }: Pick<Picture, 'title' | 'variables'>) {
  return (
    <div style={{ display: 'flex', alignItems: 'center', gap: 24, height: GRID.head, padding: '0 16px' }}>
      <span style={{ fontSize: 20, fontWeight: 500 }}>{title}</span>
      {Object.entries(variables).map(([label, value]) => (
        <span key={label}>
          {label}: <b>{value}</b>
        </span>
      ))}
    </div>
  );
}

function boxOf({ gridPos: { x, y, w, h } }: DrawnPanel) {
  const column = (GRID.width - GRID.gap) / GRID.columns;
  return {
    left: GRID.gap + x * column,
    top: GRID.head + y * GRID.cell,
    width: Math.floor(w * column - GRID.gap),
    height: h * GRID.cell - GRID.gap,
  };
}

const picture = JSON.parse(document.getElementById('data')?.textContent ?? '') as Picture;
document.body.style.margin = '0';
createRoot(document.getElementById('picture') as HTMLElement).render(
  <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <Dashboard {...picture} />
  </ThemeContext.Provider>,
);
