/** One thing that is wrong with the configuration. No field carries a secret. */
export interface ConfigProblem {
  /** The setting, or the variable or file where no setting is concerned: `tls.certPath`, `SMTP_RELAY_CONFIG`. */
  readonly setting: string;
  /** Where it stands: `env:NAME`, `file:path:line`, `secret:path`, or `default`. */
  readonly source: string;
  /** What is wrong, as a sentence without its full stop. */
  readonly why: string;
  /** What to do about it, as a sentence without its full stop. */
  readonly fix: string;
}

/** The configuration cannot be used. Its message lists all problems, each with what to do. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
    const lines = problems.map(
      ({ setting, source, why, fix }) => `  - ${setting} (${source}): ${why}. To mend it: ${fix}.`,
    );
    super([`The configuration has ${count}:`, ...lines].join('\n'));
    this.problems = problems;
  }
}

const SHOWN_CHARACTERS = 80;

/** A text from outside, fit for one line of a message: in quotes, shortened, and without credentials of a URL. */
export function quote(text: string): string {
  const shown = hideCredentials(text);
  return JSON.stringify(shown.length > SHOWN_CHARACTERS ? `${shown.slice(0, SHOWN_CHARACTERS)}…` : shown);
}

/** Hides what stands before the `@` of a URL's host. Of what only looks like a URL, all before the last `@` is hidden. */
export function hideCredentials(text: string): string {
  if (!text.includes('@')) return text;
  const url = URL.parse(text);
  if (url?.host && url.username === '' && url.password === '') return text;
  return text.replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/is, '$1***@');
}

/**
 * The candidate that a mistyped name most probably meant. Case, separators and the prefix `SMTP_RELAY_` do not count,
 * and a name without its group (`certPath` for `tls.certPath`) is recognised.
 *
 * @returns undefined where nothing is near enough to be worth suggesting
 */
export function nearest<T extends string>(word: string, candidates: readonly T[]): T | undefined {
  const wanted = bare(word);
  const farthest = Math.max(1, Math.floor(wanted.length / 3));
  let best: { candidate: T; distance: number } | undefined;
  for (const candidate of candidates) {
    const leaf = candidate.slice(candidate.lastIndexOf('.') + 1);
    // Of two that are as near, the one that needs no group.
    const distance = Math.min(editDistance(wanted, bare(candidate)), editDistance(wanted, bare(leaf)) + 0.5);
    if (distance <= farthest && distance < (best?.distance ?? Number.POSITIVE_INFINITY)) best = { candidate, distance };
  }
  return best?.candidate;
}

function bare(name: string): string {
  return name
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '')
    .replace(/^smtprelay(?=.)/, '');
}

/** Edits (insert, delete, replace, swap two neighbours) from one word to the other. */
function editDistance(from: string, to: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const replace = (previous[column - 1] ?? 0) + (from[row - 1] === to[column - 1] ? 0 : 1);
      let cost = Math.min(replace, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1);
      const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (row > 1 && column > 1 && swapped) cost = Math.min(cost, (beforePrevious[column - 2] ?? 0) + 1);
      current.push(cost);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[to.length] ?? 0;
}
