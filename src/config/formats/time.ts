import { type Format, FormatError, inRange, WHOLE_NUMBER } from './format.ts';

const DURATION = /^(0|[1-9]\d*)(ms|s|m|h)$/;
const DURATION_SCHEMA = { type: 'string', pattern: '^[0-9]+(ms|s|m|h)$' };
/** Largest first: a duration is printed in the largest unit that divides it. */
const DURATION_UNITS: readonly (readonly [string, number])[] = [
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
];
/** Node's timers hold 31 bits of milliseconds; a longer delay would fire at once. */
const LONGEST_HOURS = Math.floor(0x7fff_ffff / 3_600_000);

function printDuration(milliseconds: number): string {
  const [unit, size] = DURATION_UNITS.find(([, length]) => milliseconds % length === 0) ?? ['ms', 1];
  return `${milliseconds / size}${unit}`;
}

function parseDuration(text: string, min: number): number {
  if (WHOLE_NUMBER.test(text)) throw new FormatError('has no unit');
  const [, digits, unit] = DURATION.exec(text) ?? [];
  if (digits === undefined) throw new FormatError('is not a duration');
  const size = DURATION_UNITS.find(([name]) => name === unit)?.[1] ?? 1;
  return inRange(Number(digits) * size, min, LONGEST_HOURS * 3_600_000, printDuration);
}

/** A length of time, stored in milliseconds; never 0. */
export const duration: Format<number> = {
  expected: 'a whole number with its unit (ms, s, m or h), such as 500ms, 10s, 5m or 1h',
  schema: DURATION_SCHEMA,
  parse: text => parseDuration(text, 1),
  print: printDuration,
};

/** A length of time that may be none, stored in milliseconds. */
export const delay: Format<number> = {
  expected: 'a whole number with its unit (ms, s, m or h), such as 5s, or 0s for none',
  schema: DURATION_SCHEMA,
  parse: text => parseDuration(text, 0),
  print: value => (value === 0 ? '0s' : printDuration(value)),
};

const PERIOD = /^(0|[1-9]\d*)(s|m|h|d)$/;
const PERIOD_UNITS: readonly (readonly [string, number])[] = [['d', 86_400_000], ...DURATION_UNITS.slice(0, -1)];

/** A length of time that no timer has to wait for, stored in milliseconds; `forever` is Infinity. */
export const period: Format<number> = {
  expected: 'a whole number with its unit (s, m, h or d), such as 12h or 30d, or forever',
  schema: { type: 'string', pattern: '^([1-9][0-9]*(s|m|h|d)|forever)$' },
  parse(value) {
    if (value === 'forever') return Number.POSITIVE_INFINITY;
    const [, digits, unit] = PERIOD.exec(value) ?? [];
    if (digits === undefined) throw new FormatError('is not a period');
    const size = PERIOD_UNITS.find(([name]) => name === unit)?.[1] ?? 1;
    return inRange(Number(digits) * size, 1000, 36_500 * 86_400_000, printPeriod);
  },
  print: printPeriod,
};

function printPeriod(milliseconds: number): string {
  if (milliseconds === Number.POSITIVE_INFINITY) return 'forever';
  const [unit, size] = PERIOD_UNITS.find(([, length]) => milliseconds % length === 0) ?? ['s', 1000];
  return `${milliseconds / size}${unit}`;
}
