import { type LoadResults, median } from './results.ts';

/** No servers of mail, or none that keeps any; their bars would make all others small. They are in the table. */
const LEFT_OUT = new Set(['smtp-server', 'pgbench']);
const OURS = /^(relay|opensend)/;

const WIDTH = 760;
const LABELS = 270;
const FIGURES = 150;
const BAR = 16;
const STEP = 24;
const HEADING = 40;
const MARGIN = 12;

/** Messages a second of each peer, a panel for each load: an SVG that needs no font and no script. */
export function chart(all: readonly LoadResults[]): string {
  let top = MARGIN;
  const panels = all.map(results => {
    const drawn = panel(results, top);
    top = drawn.bottom;
    return drawn.svg;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top + MARGIN}" font-family="sans-serif" font-size="13" role="img">
<title>Messages a second, the relay beside its peers</title>
<rect width="100%" height="100%" fill="#fff"/>
${panels.join('\n')}
</svg>
`;
}

function panel(results: LoadResults, top: number): { svg: string; bottom: number } {
  const bars = results.peers
    .filter(({ name }) => !LEFT_OUT.has(name))
    .map(({ name, title }) => {
      const rates = results.rounds.flatMap(round => round[name]?.rate ?? []);
      const rate = median(results, name, figures => figures.rate) ?? 0;
      return { name, title, rate, least: Math.min(...rates), most: Math.max(...rates) };
    });
  const longest = Math.max(...bars.map(({ most }) => most));
  const scale = (WIDTH - LABELS - FIGURES) / longest;
  const x = (rate: number) => (LABELS + rate * scale).toFixed(1);
  const lines = bars.map(({ name, title, rate, least, most }, index) => {
    const y = top + HEADING + index * STEP;
    const middle = y + BAR / 2;
    const base = `y="${middle}" dominant-baseline="central" fill="#1f2328"`;
    return [
      `<text x="${LABELS - 8}" ${base} text-anchor="end">${escaped(title)}</text>`,
      `<rect x="${LABELS}" y="${y}" width="${(rate * scale).toFixed(1)}" height="${BAR}" fill="${OURS.test(name) ? '#0b6bcb' : '#9aa4b2'}"/>`,
      // From the slowest round to the fastest.
      `<path d="M${x(least)} ${middle}H${x(most)}" stroke="#1f2328"/>`,
      `<text x="${Number(x(most)) + 8}" ${base}>${shown(rate)}</text>`,
    ].join('\n');
  });
  const heading = `<text x="${MARGIN}" y="${top + HEADING / 2}" dominant-baseline="central" font-weight="bold" fill="#1f2328">${escaped(results.title)}: messages a second</text>`;
  return { svg: [heading, ...lines].join('\n'), bottom: top + HEADING + bars.length * STEP };
}

function shown(rate: number): string {
  return rate >= 100 ? Math.round(rate).toLocaleString('en') : rate.toPrecision(3);
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
