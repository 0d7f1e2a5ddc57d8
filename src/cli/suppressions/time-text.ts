/** A point in time without a zone, as databases print it. It is taken for UTC, as exports of mail providers mean it. */
const WITHOUT_ZONE = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)$/;
const DAY = /^(\d{4})-?(\d\d)-?(\d\d)$/;
/** Since 1970, in a unit that its number of digits tells: seconds, milliseconds, microseconds. */
const EPOCH = /^(\d{9,10}|\d{12,13}|\d{15,16})(?:\.\d+)?$/;
const UNITS: ReadonlyMap<number, number> = new Map([
  [10, 1_000],
  [13, 1],
  [16, 0.001],
]);
/** Other spellings of UTC that only some programs read. */
const UTC = /\s+(?:\+0000\s+)?UTC$/;

/** Reads a time as exports of other systems write it: ISO 8601, RFC 5322, or a number since 1970. @returns null for none */
export function readTime(text: string): Date | null {
  const trimmed = text.trim();
  const date = new Date(readable(trimmed));
  return Number.isNaN(date.getTime()) ? null : date;
}

function readable(text: string): string | number {
  const [, epoch] = EPOCH.exec(text) ?? [];
  if (epoch !== undefined) {
    const digits = [10, 13, 16].find(count => count >= epoch.length) ?? 10;
    return Number(text) * (UNITS.get(digits) ?? 1);
  }
  const [, year, month, day] = DAY.exec(text) ?? [];
  if (year !== undefined) return `${year}-${month}-${day}T00:00:00Z`;
  // Any other number would be a year to this program, and something else to who wrote it.
  if (/^[\d.]*$/.test(text)) return Number.NaN;
  const [, date, time] = WITHOUT_ZONE.exec(text) ?? [];
  return date === undefined ? text.replace(UTC, ' GMT') : `${date}T${time}Z`;
}
