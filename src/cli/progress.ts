import type { CliContext } from './command.ts';
import { isTerminal } from './confirm.ts';

/** Milliseconds between two lines: more is not read. */
const PACE = 100;
/** To the first column, and what stands there is cleared (ECMA-48: CR, EL). */
const CLEAR = '\r\u001b[K';

/** What people see of long work while it goes on. */
export interface Progress {
  /** @param text how far it is, on one line */
  (text: string): void;
  /** Takes the line away, for what is printed next. */
  end(): void;
}

/** One line on standard error that is written over, where that is a terminal; nothing elsewhere. */
export function createProgress({ stderr }: CliContext): Progress {
  let saidAt = Number.NEGATIVE_INFINITY;
  let isShown = false;
  const say = (text: string): void => {
    if (!isTerminal(stderr) || performance.now() - saidAt < PACE) return;
    saidAt = performance.now();
    isShown = true;
    stderr.write(`${CLEAR}${text}`);
  };
  const end = (): void => {
    if (isShown) stderr.write(CLEAR);
    isShown = false;
  };
  return Object.assign(say, { end });
}
