import { setImmediate } from 'node:timers/promises';
import { hasLongLine } from '../bytes.ts';
import { type Edit, type Fault, type LongLine, type MendingRules, planMending } from './plan.ts';

/** What the acceptance needs to know of how a message is mended. */
export interface MendingFacts {
  /** Bytes of the message as it is mended. */
  readonly bytes: number;
  readonly firstLong: LongLine | null;
  readonly fault: Fault | null;
  readonly types: number;
  readonly sealedEmpty: number;
}

/** Milliseconds of work after which others have their turn. */
const TURN = 10;

/** Finds out all that there is to know without making the message, and in one go. */
export function measureMending(raw: Buffer, rules: MendingRules): MendingFacts {
  const planning = planMending(raw, rules);
  let step = planning.next();
  while (!step.done) step = planning.next();
  const { edits, firstLong, fault, types, sealedEmpty } = step.value;
  let bytes = raw.length;
  for (const { start, end, pieces } of edits) {
    bytes -= end - start;
    for (const piece of pieces()) bytes += piece.length;
  }
  return { bytes, firstLong, fault, types, sealedEmpty };
}

/**
 * The message as `planMending` says, as far as it can be mended.
 *
 * @returns `raw` itself where nothing changes
 */
export async function mend(raw: Buffer, rules: MendingRules): Promise<Buffer> {
  return (await mendBytes(raw, rules)).bytes;
}

export interface Mended {
  /** `raw` itself where nothing changes. */
  readonly bytes: Buffer;
  /** A message within was looked into. */
  readonly within: boolean;
}

/** The same, with what it took to know. */
export async function mendBytes(raw: Buffer, rules: MendingRules): Promise<Mended> {
  const lines = rules.lines && hasLongLine(raw);
  if (!lines && !rules.types) return { bytes: raw, within: false };
  const turn = createTurn();
  const planning = planMending(raw, { ...rules, lines });
  let step = planning.next();
  while (!step.done) {
    await turn();
    step = planning.next();
  }
  const { edits, within } = step.value;
  return { bytes: edits.length === 0 ? raw : await edited(raw, edits, turn), within };
}

async function edited(raw: Buffer, edits: readonly Edit[], turn: () => Promise<void> | void): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let position = 0;
  for (const edit of edits) {
    pieces.push(raw.subarray(position, edit.start));
    for (const piece of edit.pieces()) {
      pieces.push(piece);
      await turn();
    }
    position = edit.end;
  }
  return Buffer.concat([...pieces, raw.subarray(position)]);
}

/** @returns a function that waits where the work has lasted long enough */
function createTurn(): () => Promise<void> | void {
  let since = performance.now();
  return async () => {
    if (performance.now() - since < TURN) return;
    await setImmediate();
    since = performance.now();
  };
}
