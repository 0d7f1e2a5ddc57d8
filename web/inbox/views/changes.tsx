import { diffLines } from 'diff';
import { useEffect, useState } from 'preact/hooks';
import type { Changed } from '../../../src/inbox/contract.ts';
import { ask } from '../../shared/api.ts';

/** What delivery did to the message: what was received beside what went out. */
export function Changes({ id }: { readonly id: string }) {
  const [changed, setChanged] = useState<Changed | null>(null);
  const [error, setError] = useState<string | null>(null);
  useEffect(() => {
    const ended = new AbortController();
    ask<Changed>(`/api/messages/${id}/changes`, { signal: ended.signal }).then(
      setChanged,
      problem => ended.signal.aborted || setError(problem.message),
    );
    return () => ended.abort();
  }, [id]);

  if (error !== null) return <p class="nothing">{error}</p>;
  if (changed === null) return <p class="nothing">Loading …</p>;
  if (changed.sections.length === 0) return <p class="nothing">It went out as it came in.</p>;
  return (
    <div class="changes">
      {changed.sections.map(({ title, before, after }) => (
        <section key={title}>
          <h2>{title}</h2>
          <pre>
            {diffLines(before, after).map(({ value, added, removed }, index) => {
              const Line = added ? 'ins' : removed ? 'del' : 'span';
              return <Line key={index}>{added || removed ? value : shortened(value)}</Line>;
            })}
          </pre>
        </section>
      ))}
    </div>
  );
}

/** Of what is the same, the lines beside what is not. */
function shortened(text: string): string {
  const lines = text.split('\n');
  return lines.length <= 7 ? text : [...lines.slice(0, 3), '⋯', ...lines.slice(-3)].join('\n');
}
