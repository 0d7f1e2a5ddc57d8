import { readFile, writeFile } from 'node:fs/promises';
import { goalTable } from '../support/goals.ts';
import { chart } from './chart.ts';
import { type LoadResults, lookUp, median, type PeerFigures, ratio } from './results.ts';

const DOCUMENT = new URL('../../docs/performance.md', import.meta.url);
const CHART = new URL('../../docs/pictures/peers.svg', import.meta.url);
const [BEGIN, END] = ['<!-- make bench-peers: begin -->', '<!-- make bench-peers: end -->'];
const PICTURE = '![Messages a second, the relay beside its peers](pictures/peers.svg)';
/** What the others are compared with. */
const OURS = 'relay';

const COLUMNS = [
  'medians',
  'messages/s',
  'relay to it',
  'MB/s',
  'p50 ms',
  'p99 ms',
  'CPU s/1000: server',
  'Postgres',
  'SQS emulator',
  'peak RSS MB',
];

/** Everything as Markdown: where and with what it was measured, a table for each load, and which goals are met. */
export function report(all: readonly LoadResults[]): string {
  const { figureOf, ratioOf } = lookUp(all);
  return [...all.map(section), goalTable(figureOf, ratioOf)].join('\n\n');
}

/** Puts the report and the chart where the documentation has them. @throws Error where the document has lost its place for it */
export async function writeReport(all: readonly LoadResults[]): Promise<void> {
  const document = await readFile(DOCUMENT, 'utf8');
  const [before, rest = ''] = document.split(BEGIN);
  const after = rest.split(END)[1];
  if (after === undefined) throw new Error(`docs/performance.md has no "${BEGIN}" and "${END}"`);
  await writeFile(DOCUMENT, `${before}${BEGIN}\n\n${PICTURE}\n\n${report(all)}\n\n${END}${after}`);
  await writeFile(CHART, chart(all));
}

function section(results: LoadResults): string {
  const { absent, date, loadAverage, machine, node, peers, postgres, rounds, seconds, title } = results;
  const versions = peers.map(peer => `${peer.name} ${peer.version}`).join(', ');
  return [
    `**${title}.** ${date}, ${machine}, a load of ${loadAverage.toFixed(1)} before; Node ${node}, Postgres ${postgres}; ${rounds.length} rounds of ${seconds} s each. Versions: ${versions}.`,
    [COLUMNS, COLUMNS.map((_, index) => (index === 0 ? '---' : '---:')), ...peers.map(peer => row(results, peer))]
      .map(cells => `| ${cells.join(' | ')} |`)
      .join('\n'),
    ...absent.map(({ title: absentee, reason }) => `${absentee} is missing: ${reason}.`),
  ].join('\n\n');
}

function row(results: LoadResults, { name, title }: LoadResults['peers'][number]): string[] {
  const of = (figureOf: (figures: PeerFigures) => number | undefined): string => {
    const value = median(results, name, figures => figureOf(figures) ?? Number.NaN);
    return value === undefined || Number.isNaN(value) ? '' : figure(value);
  };
  const compared = name === OURS ? undefined : ratio(results, OURS, name);
  return [
    title,
    of(({ rate }) => rate),
    compared === undefined ? '' : compared.toFixed(2),
    of(({ megabytesPerSecond }) => megabytesPerSecond),
    of(({ p50 }) => p50),
    of(({ p99 }) => p99),
    of(({ cpu }) => cpu.server),
    of(({ cpu }) => cpu.postgres),
    of(({ cpu }) => cpu.sqs),
    of(({ peakMegabytes }) => peakMegabytes || undefined),
  ];
}

/** Three figures that mean something. */
function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
