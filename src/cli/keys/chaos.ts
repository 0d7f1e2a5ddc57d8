import { type Command, InvalidArgumentError, Option } from 'commander';
import { StoreError } from '../../postgres/errors.ts';
import { showKey } from '../../store/keys/api-keys.ts';
import { setChaos } from '../../store/keys/chaos.ts';
import {
  CHAOS_CODES,
  CHAOS_STAGES,
  type Chaos,
  describeChaos,
  LATEST,
  SLOWEST,
} from '../../store/keys/chaos-settings.ts';
import { type CliContext, examples, type JsonOptions, jsonOption, note, parseSpan, print } from '../command.ts';
import { withDatabase } from '../database.ts';
import { nameOf, REFERENCE } from './sandbox.ts';

type Reply = NonNullable<Chaos['replies']>[number];

interface ChaosOptions extends JsonOptions {
  readonly fail?: readonly Reply[];
  readonly slow?: number;
  readonly rate?: number;
  readonly cut?: number;
  readonly late?: Chaos['late'];
  readonly for?: number;
  readonly off?: boolean;
}

/** `keys chaos`: has things go wrong on purpose for a key in sandbox. */
export function addChaosCommand(keys: Command, context: CliContext): void {
  const kinds = ['fail', 'slow', 'rate', 'cut', 'late', 'for'];
  examples(
    keys
      .command('chaos')
      .description(
        'Have things go wrong on purpose for an API key in sandbox, within 10 seconds; without options, show what does',
      )
      .argument('<key>', REFERENCE)
      .option(
        '--fail <stage=code[:percent]>',
        `refuse: ${CHAOS_STAGES.join(', ')} (after the dot) with ${CHAOS_CODES.join(', ')}; may be repeated`,
        parseReply,
      )
      .option(
        '--slow <time>',
        'let each reply to AUTH, MAIL, RCPT, DATA and the message take so long, such as 2s',
        seconds(SLOWEST),
      )
      .option('--rate <count>', 'accept so many messages a minute, over all pods', parseRate)
      .option('--cut <percent>', 'cut so many connections in the middle of DATA', parsePercent)
      .option('--late <time[:percent]>', 'accept messages and say so only so much later, such as 90s:10', parseLate)
      .option('--for <time>', 'end by itself after so long, such as 15m or 1h', parsePeriod)
      .addOption(new Option('--off', 'let nothing go wrong any more').conflicts(kinds))
      .addOption(jsonOption())
      .action(async (reference: string, options: ChaosOptions) => {
        const chaos = chaosFrom(options);
        if (chaos === null && !options.off) {
          if (options.for !== undefined)
            throw new StoreError('invalid', 'say what is to go wrong, such as --fail MAIL=451:20');
          const key = await withDatabase(context, pool => showKey(pool, reference));
          print(context, options, key, `${nameOf(key)}: ${chaosOf(key)}.\n`);
          return;
        }
        const key = await withDatabase(context, pool => setChaos(pool, reference, chaos, options.for ?? null));
        print(context, options, key, `${nameOf(key)}: ${chaosOf(key)}.\n`);
        note(context, options, 'Sessions that are open with it notice at their next message, within 10 seconds.');
      }),
    'keys chaos "Staging app" --fail MAIL=451:20 --fail message=550:5 --for 1h',
    'keys chaos "Staging app" --late 90s:10 --cut 5',
    'keys chaos "Staging app" --rate 10 --slow 2s',
    'keys chaos "Staging app" --off',
  );
}

/** What goes wrong for a key, and until when, in one line. */
export function chaosOf({ chaos, chaosUntil }: { chaos: Chaos | null; chaosUntil: Date | null }): string {
  if (chaos === null) return 'nothing goes wrong on purpose';
  const end = chaosUntil === null ? 'until it is switched off' : `until ${chaosUntil.toISOString()}`;
  return `${describeChaos(chaos).join('; ')}; ${end}`;
}

/** null where the options say nothing of the kind. */
function chaosFrom({ fail, slow, rate, cut, late }: ChaosOptions): Chaos | null {
  const chaos: Chaos = {
    ...(fail && { replies: fail }),
    ...(slow && { slowSeconds: slow }),
    ...(rate && { messagesPerMinute: rate }),
    ...(cut && { cutPercent: cut }),
    ...(late && { late }),
  };
  return Object.keys(chaos).length === 0 ? null : chaos;
}

function parseReply(text: string, before: readonly Reply[] = []): readonly Reply[] {
  const [, name = '', digits, share = '100'] = /^([a-z]+)=(\d{3})(?::(\d{1,3})%?)?$/i.exec(text) ?? [];
  const stage = CHAOS_STAGES.find(each => each.toLowerCase() === name.toLowerCase());
  const code = CHAOS_CODES.find(each => String(each) === digits);
  if (stage && code) return [...before, { stage, code, percent: parsePercent(share) }];
  throw new InvalidArgumentError(
    `It must be a stage (${CHAOS_STAGES.join(', ')}), = and a reply (${CHAOS_CODES.join(', ')}), and maybe : and percent, such as MAIL=451:20.`,
  );
}

function parsePercent(text: string): number {
  const percent = /^\d{1,3}%?$/.test(text) ? Number.parseInt(text, 10) : 0;
  if (percent < 1 || percent > 100) throw new InvalidArgumentError('It must be percent, from 1 to 100.');
  return percent;
}

function parseRate(text: string): number {
  const rate = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (rate < 1) throw new InvalidArgumentError('It must be a number of messages a minute.');
  return rate;
}

function seconds(most: number): (text: string) => number {
  return text => {
    const span = (parseSpan(text) ?? 0) / 1000;
    if (span < 1 || span > most) throw new InvalidArgumentError(`It must be a time from 1s to ${most}s, such as 2s.`);
    return span;
  };
}

function parseLate(text: string): NonNullable<Chaos['late']> {
  const [time = '', share = '100'] = text.split(':');
  return { seconds: seconds(LATEST)(time), percent: parsePercent(share) };
}

function parsePeriod(text: string): number {
  const period = parseSpan(text);
  if (!period) throw new InvalidArgumentError('It must be a time such as 90s, 15m, 1h or 1d.');
  return period;
}
