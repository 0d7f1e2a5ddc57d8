/** Measures what tracing costs the relay; see README.md beside this file. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { compare, type Figures, medianOf, present, ROUND_OPTIONS, type Round } from './support/rounds.ts';

const HELP = `Usage: node bin/node24.js bench/tracing.ts [options]

  --rounds <n>     how often each variant is measured, one after the other (5)
  --seconds <n>    how long each time (4)
  --scenario <name>  one of the intake bench's (1k-64)
  --all            also with every trace sampled, which is more than anybody needs
  --json           all figures as JSON instead of the table
`;

/** `absent` is what the others are compared with. */
const VARIANTS = ['absent', 'off', 'on, 10 % sampled', 'on, all sampled'] as const;
type Variant = (typeof VARIANTS)[number];

/** Seconds: the first spans load and compile what exports them. */
const WARM_UP = 5;

function environmentOf(variant: Variant, endpoint: string): NodeJS.ProcessEnv {
  if (variant === 'absent') return {};
  const on = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_SAMPLER: 'parentbased_traceidratio' };
  if (variant === 'off') return { ...on, OTEL_SDK_DISABLED: 'true' };
  return { ...on, OTEL_TRACES_SAMPLER_ARG: variant === 'on, all sampled' ? '1' : '0.1' };
}

function table(rounds: readonly Round<Variant>[], variants: readonly Variant[]): string {
  const row = (variant: Variant): string => {
    const of = (key: keyof Figures) => medianOf(rounds, round => round[variant][key]);
    const ratio = (key: keyof Figures) => medianOf(rounds, round => round[variant][key] / round.absent[key]);
    const cells = [
      variant,
      of('rate').toFixed(0),
      ratio('rate').toFixed(3),
      of('cpu').toFixed(3),
      ratio('cpu').toFixed(3),
    ];
    return `| ${cells.join(' | ')} |`;
  };
  const head = '| tracing | messages/s | to absent | CPU s per 1000 | to absent |\n| --- | ---: | ---: | ---: | ---: |';
  return `${head}\n${variants.map(row).join('\n')}`;
}

const { values } = parseArgs({
  options: {
    ...ROUND_OPTIONS,
    all: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

async function measureAll() {
  const variants = VARIANTS.filter(variant => values.all || variant !== 'on, all sampled');
  const collector = fork(fileURLToPath(new URL('./processes/collector.ts', import.meta.url)));
  try {
    const [{ endpoint }] = (await once(collector, 'message')) as [{ endpoint: string }];
    const comparison = {
      variants,
      environmentOf: (variant: Variant) => environmentOf(variant, endpoint),
      warmUpSeconds: WARM_UP,
    };
    const { rounds, found } = await compare(comparison, values);
    return { report: values.json ? JSON.stringify(rounds, null, 2) : table(rounds, variants), found };
  } finally {
    collector.disconnect();
  }
}

if (values.help) process.stdout.write(HELP);
else await present(measureAll());
