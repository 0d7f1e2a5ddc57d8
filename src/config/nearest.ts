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
