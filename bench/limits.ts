/** Measures what limits cost the intake; see README.md beside this file. */
import { parseArgs } from 'node:util';
import {
  type Compared,
  compare,
  type Figures,
  medianOf,
  present,
  ROUND_OPTIONS,
  type Round,
} from './support/rounds.ts';

const HELP = `Usage: node bin/node24.js bench/limits.ts [options]

  --rounds <n>       how often both are measured, in turns (5)
  --seconds <n>      how long each time (4)
  --scenario <name>  one of the intake bench's (1k-64)
`;

const WARM_UP = 1.5;

const VARIANTS = {
  off: {
    SMTP_RELAY_LIMITS_FAILED_LOGINS_PER_ADDRESS: '0',
    SMTP_RELAY_LIMITS_FAILED_LOGINS_PER_KEY: '0',
    SMTP_RELAY_LIMITS_DATA_RATE: '0',
  },
  /** All that there are, none of them reached. */
  on: {
    SMTP_RELAY_LIMITS_CONNECTIONS_PER_ADDRESS: '10000',
    SMTP_RELAY_LIMITS_SESSIONS_PER_KEY: '10000',
    SMTP_RELAY_LIMITS_KEY_SHARE: '50',
    SMTP_RELAY_LIMITS_MESSAGES_PER_MINUTE: '1000000000',
    SMTP_RELAY_LIMITS_RECIPIENTS_PER_MINUTE: '1000000000',
    SMTP_RELAY_LIMITS_MESSAGES_PER_DAY: '1000000000',
    SMTP_RELAY_LIMITS_RECIPIENTS_PER_DAY: '1000000000',
    SMTP_RELAY_LIMITS_DATA_RATE: '1',
    SMTP_RELAY_RECIPIENT_ALLOW_LIST: 'example.com,*.example.com,example.test,qa@bench.test',
  },
} as const;
type Variant = keyof typeof VARIANTS;

function table(rounds: readonly Round<Variant>[]): string {
  const row = (name: string, key: keyof Figures, digits: number): string => {
    const [off, on] = [medianOf(rounds, round => round.off[key]), medianOf(rounds, round => round.on[key])];
    const ratio = medianOf(rounds, round => round.on[key] / round.off[key]);
    return `| ${name} | ${off.toFixed(digits)} | ${on.toFixed(digits)} | ${ratio.toFixed(3)} |`;
  };
  const head = '| | limits off | all on | on to off |\n| --- | ---: | ---: | ---: |';
  return [head, row('messages/s', 'rate', 0), row('CPU s per 1000', 'cpu', 3)].join('\n');
}

const { values } = parseArgs({ options: ROUND_OPTIONS });
if (values.help) process.stdout.write(HELP);
else {
  const comparison = {
    variants: ['off', 'on'] as const,
    environmentOf: (variant: Variant) => VARIANTS[variant],
    warmUpSeconds: WARM_UP,
  };
  const report = ({ rounds, found }: Compared<Variant>) => ({ report: table(rounds), found });
  await present(compare(comparison, values).then(report));
}
