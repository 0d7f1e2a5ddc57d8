/** A figure of one program under one load. */
export interface Figure {
  /** As `bench/peers.ts` names them; `bench/intake.ts` knows the relay alone. */
  readonly peer: string;
  readonly load: string;
  readonly of: 'rate' | 'p99' | 'cpu' | 'peakMegabytes';
}

/** A bound of a figure, or of its ratio to another one. */
export interface Goal {
  readonly text: string;
  readonly figure: Figure;
  readonly to?: Figure;
  readonly atLeast?: number;
  readonly atMost?: number;
}

const rate = (peer: string, load: string): Figure => ({ peer, load, of: 'rate' });
const ahead = (load: string, of: string, title: string, atLeast: number): Goal => {
  return { text: `${load}: messages/s, to ${title}`, figure: rate('relay', load), to: rate(of, load), atLeast };
};

/** What the intake is to reach on two cores that Postgres, the SQS emulator and the generator share. */
export const GOALS: readonly Goal[] = [
  ahead('1k-64', 'haraka', 'Haraka', 1.5),
  ahead('1k-64', 'postfix', 'Postfix', 3),
  ahead('1k-16', 'haraka', 'Haraka', 1.3),
  ahead('1k-16', 'postfix', 'Postfix', 1.6),
  ahead('1k-1', 'before', 'the revision before', 1.5),
  ...['1k-16', '1k-64'].map(load => ({
    text: `${load}: messages/s with TLS, to those without`,
    figure: rate('relay-tls', load),
    to: rate('relay', load),
    atLeast: 0.85,
  })),
  {
    text: '1k-64: CPU s/1000 of the relay',
    figure: { peer: 'relay', load: '1k-64', of: 'cpu' },
    atMost: 0.2,
  },
  {
    text: '1 KB at half of the full load: p99 ms',
    figure: { peer: 'relay', load: 'half', of: 'p99' },
    atMost: 10,
  },
  {
    text: '1 KB beside 40 MB: p99 ms',
    figure: { peer: 'relay', load: 'steady-40m', of: 'p99' },
    atMost: 50,
  },
  ahead('7m-8', 'haraka', 'Haraka', 1.4),
  {
    text: '7m-8: messages/s beside OpenSend, to the revision before',
    figure: rate('opensend', '7m-8'),
    to: rate('before-opensend', '7m-8'),
    atLeast: 2,
  },
  {
    text: '7m-8: peak RSS MB of the relay',
    figure: { peer: 'relay', load: '7m-8', of: 'peakMegabytes' },
    atMost: 240,
  },
  {
    text: '7m-8: CPU s/1000 of the relay',
    figure: { peer: 'relay', load: '7m-8', of: 'cpu' },
    atMost: 35,
  },
];

/**
 * Which goals are met, as a Markdown table, and which were not measured.
 *
 * @param figureOf a figure that was measured; undefined for one that was not
 * @param ratioOf of two figures that were measured under one load, where that is better known than by the two
 */
export function goalTable(
  figureOf: (figure: Figure) => number | undefined,
  ratioOf: (figure: Figure, to: Figure) => number | undefined = () => undefined,
): string {
  const judged = GOALS.map(goal => ({ goal, value: measured(goal, figureOf, ratioOf) }));
  const rows = judged.flatMap(({ goal, value }) => (value === undefined ? [] : [row(goal, value)]));
  const others = judged.filter(({ value }) => value === undefined).map(({ goal }) => goal.text);
  const table = ['| goal | | measured | |', '| --- | --- | ---: | --- |', ...rows].join('\n');
  return others.length === 0 ? table : `${table}\n\nNot measured here: ${others.join('; ')}.`;
}

function measured(
  { figure, to }: Goal,
  figureOf: (figure: Figure) => number | undefined,
  ratioOf: (figure: Figure, to: Figure) => number | undefined,
): number | undefined {
  if (!to) return figureOf(figure);
  const [value, other] = [figureOf(figure), figureOf(to)];
  if (value === undefined || other === undefined) return undefined;
  return ratioOf(figure, to) ?? value / other;
}

function row({ text, atLeast, atMost }: Goal, value: number): string {
  const isMet = value >= (atLeast ?? Number.NEGATIVE_INFINITY) && value <= (atMost ?? Number.POSITIVE_INFINITY);
  const bound = atLeast === undefined ? `at most ${atMost}` : `at least ${atLeast}`;
  return `| ${text} | ${bound} | ${value.toPrecision(3)} | ${isMet ? 'met' : 'missed'} |`;
}
