/** Draws the chart's dashboard with what record.ts recorded; see README.md beside this file. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { chartPath } from '../../chart/paths.ts';
import { askPanel, askVariables } from './ask.ts';
import { type Dashboard, type DrawnPanel, GRID, heightOf, type Picture } from './picture.ts';
import { Prometheus, type Range, SCRAPE_INTERVAL } from './prometheus.ts';

const BROWSER = process.env['BROWSER'] || 'chromium';
/** The rows of each picture: the first, and the one after the last. */
const PICTURES: Readonly<Record<string, readonly [number, number]>> = {
  'dashboard-intake': [0, 3],
  'dashboard-delivery': [3, 6],
  'dashboard-pods': [6, 7],
};
/** Milliseconds that the bundler or the browser may take. */
const RUN_LIMIT = 120_000;
const PAGE = fileURLToPath(new URL('./page', import.meta.url));

/** The dashboard as Grafana would have it at the end of the recording. */
async function ask(directory: string): Promise<Picture> {
  const dashboard = JSON.parse(await readFile(chartPath('files/monitoring/dashboard.json'), 'utf8')) as Dashboard;
  const { from, to } = JSON.parse(await readFile(join(directory, 'range.json'), 'utf8')) as Range;
  const range = { from, to, step: SCRAPE_INTERVAL };
  const prometheus = await Prometheus.start(directory);
  try {
    const variables = await askVariables(dashboard, prometheus, range);
    const panels: DrawnPanel[] = [];
    for (const panel of dashboard.panels) panels.push(await askPanel(panel, prometheus, range, variables));
    const labels = dashboard.templating.list.flatMap(({ name, label }) => {
      const value = variables[name];
      return value === undefined ? [] : [[label, value]];
    });
    return { title: dashboard.title, variables: Object.fromEntries(labels), from, to, panels };
  } finally {
    await prometheus.stop();
  }
}

/** Some rows of the dashboard, moved to the top. */
function partOf(picture: Picture, first: number, end: number): Picture {
  const tops = picture.panels.filter(({ type }) => type === 'row').map(({ gridPos }) => gridPos.y);
  const [top = 0, bottom = Number.POSITIVE_INFINITY] = [tops[first], tops[end]];
  const panels = picture.panels.filter(({ gridPos: { y } }) => y >= top && y < bottom);
  const moved = panels.map(panel => ({ ...panel, gridPos: { ...panel.gridPos, y: panel.gridPos.y - top } }));
  return { ...picture, panels: moved };
}

/** Writes a page with all that it needs in it. */
async function writePage(file: string, built: string, picture: Picture): Promise<void> {
  const style = await readFile(join(built, 'main.css'), 'utf8');
  const script = (await readFile(join(built, 'main.js'), 'utf8')).replaceAll('</script', '<\\/script');
  const data = JSON.stringify(picture).replaceAll('<', '\\u003c');
  const parts = [
    `<!doctype html><meta charset="utf-8"><style>${style}</style><div id="picture"></div>`,
    `<script type="application/json" id="data">${data}</script><script>${script}</script>`,
  ];
  await writeFile(file, parts.join('\n'));
}

async function photograph(page: string, image: string, height: number): Promise<void> {
  const flags = [
    '--headless',
    // As root, which one is in many containers, it has none; the page is ours.
    '--no-sandbox',
    '--disable-gpu',
    '--hide-scrollbars',
    '--force-device-scale-factor=2',
    `--window-size=${GRID.width},${height}`,
    '--virtual-time-budget=10000',
    `--screenshot=${image}`,
    pathToFileURL(page).href,
  ];
  await run(BROWSER, flags);
}

/** Runs a script of the page's package. */
function npm(script: string, ...args: string[]): Promise<void> {
  return run('npm', ['--prefix', PAGE, 'run', '--silent', script, '--', ...args]);
}

async function run(program: string, args: readonly string[]): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: RUN_LIMIT });
  const said = text(child.stderr);
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${await said}`);
}

const [directory, folder] = process.argv.slice(2).map(path => resolve(path));
if (!directory || !folder) {
  console.error('Usage: node tools/dashboard/picture/draw.ts DIRECTORY FOLDER');
  process.exit(2);
}
const whole = await ask(directory);
for (const { title, type, lines } of whole.panels) {
  const isEmpty = lines.every(({ values }) => values.every(value => value === null));
  if (type !== 'row' && isEmpty) console.error(`nothing to draw: ${title}`);
}
await npm('build', `--outdir=${directory}`);
await mkdir(folder, { recursive: true });
for (const [name, [first, end]] of Object.entries(PICTURES)) {
  const picture = partOf(whole, first, end);
  const page = join(directory, `${name}.html`);
  await writePage(page, directory, picture);
  const image = join(directory, `${name}.png`);
  await photograph(page, image, heightOf(picture.panels));
  await npm('shrink', image, join(folder, `${name}.png`));
}
