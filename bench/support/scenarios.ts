import type { MessageShape } from './message.ts';

export interface ScenarioLoad {
  /** What the table calls it. */
  readonly name: string;
  readonly message: MessageShape;
  readonly connections: number;
  /** Messages a second; as many as the relay takes unless given. */
  readonly rate?: number;
  /** In place of a rate: so much of what this scenario has reached in the same run. */
  readonly rateOf?: { readonly scenario: string; readonly share: number };
}

/** One row of the table for each load; the loads of one scenario run at the same time. */
export interface Scenario {
  readonly name: string;
  readonly tls: boolean;
  readonly loads: readonly ScenarioLoad[];
}

const KB = 1024;
const MB = 1024 * KB;

const SMALL: MessageShape = { kind: 'text', size: KB };
const MEDIUM: MessageShape = { kind: 'attachment', size: 7 * MB };
/** Just under what Amazon SES takes, and so the standalone pipeline: 40 MiB for the whole message. */
const LARGE: MessageShape = { kind: 'attachment', size: 40 * MB - 10 * KB };

const STEADY: ScenarioLoad = { name: '1 KB, 200/s', message: SMALL, connections: 16, rate: 200 };

const HALF: ScenarioLoad = {
  name: '1 KB, half of the full load',
  message: SMALL,
  connections: 64,
  rateOf: { scenario: '1k-64', share: 0.5 },
};

/** All that is measured, in the order of the table. */
export const SCENARIOS: readonly Scenario[] = [
  ...[1, 16, 64].flatMap(connections => withAndWithoutTls(`1k-${connections}`, '1 KB', SMALL, connections)),
  ...withAndWithoutTls('7m-8', '7 MB', MEDIUM, 8),
  { name: 'half', tls: false, loads: [HALF] },
  { name: 'steady', tls: false, loads: [STEADY] },
  {
    name: 'steady-40m',
    tls: false,
    loads: [
      { ...STEADY, name: '1 KB, 200/s beside 40 MB' },
      { name: '40 MB, one at a time', message: LARGE, connections: 1 },
    ],
  },
];

function withAndWithoutTls(name: string, title: string, message: MessageShape, connections: number): Scenario[] {
  const loads = [{ name: title, message, connections }];
  return [
    { name, tls: false, loads },
    { name: `${name}-tls`, tls: true, loads },
  ];
}
