import type { Adapters } from '../adapters.ts';
import { problemOf } from '../documents/document.ts';
import { FieldError, type Problem } from '../documents/problem.ts';
import type { Desired } from './desired.ts';

/** Finds objects that declare the same thing, of which only one can be: without a look at the database. */
export function findShared({ objects }: Desired, adapters: Adapters): Problem[] {
  const seen = new Map<string, string>();
  return objects.flatMap(({ kind, name, source, wanted }) => {
    const adapter = adapters[kind];
    if (!wanted || adapter.standing === 'satisfied') return [];
    return wanted.rows.flatMap(row => {
      const identity = `${kind}\n${adapter.identityOf(row)}`;
      const other = seen.get(identity);
      if (other === undefined) {
        seen.set(identity, name);
        return [];
      }
      const fix = ['remove one of them', ...(adapter.alternative ? [adapter.alternative] : [])].join(', ');
      return [problemOf(source, new FieldError(['spec'], `declares the same as ${kind}/${other}`, fix))];
    });
  });
}
