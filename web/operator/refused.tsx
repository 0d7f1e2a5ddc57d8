import { useEffect, useState } from 'preact/hooks';
import type { RefusedSubject, RefusedSubjects } from '../../src/http/sessions/contract.ts';
import { ask } from '../shared/api.ts';
import { span } from '../shared/format.ts';
import { Sessions } from '../shared/sessions.tsx';
import { ago } from './parts.tsx';

/** Milliseconds from one look to the next. */
const LOOK = 10_000;

/** Whom this relay and the others refused something, under the key, or under the address of who has not logged in. */
export function Refused({ isPaused }: { readonly isPaused: boolean }) {
  const { refused, problem } = useRefused(isPaused);
  return (
    <section aria-labelledby="refused">
      <h2 id="refused">Sessions that were refused something</h2>
      <div class="card">
        {problem !== null && (
          <p class="soft" role="status">
            {problem}
          </p>
        )}
        {refused && <Known refused={refused} />}
      </div>
    </section>
  );
}

function Known({ refused: { subjects, isMasked, kept } }: { readonly refused: RefusedSubjects }) {
  if (kept === 0) return <p class="soft">None is kept (sessions.kept).</p>;
  if (subjects.length === 0) return <p class="soft">None in the last {span(kept)}.</p>;
  return (
    <>
      <ul class="subjects">
        {subjects.map(subject => (
          <li key={`${subject.kind} ${subject.name} ${subject.newest[0]?.clientAddress}`}>
            <Subject subject={subject} />
          </li>
        ))}
      </ul>
      <p class="note">
        Of all relays, in the last {span(kept)}. {isMasked && 'Addresses are shown in part; '}
        <code>smtp-relay sessions</code> has {isMasked ? 'them whole' : 'more'}.
      </p>
    </>
  );
}

function Subject({ subject: { kind, name, sessions, newest } }: { readonly subject: RefusedSubject }) {
  const [last] = newest;
  if (!last) return null;
  return (
    <details class="subject">
      <summary>
        <b class="what">{name}</b>
        <span class="badge">{kind === 'key' ? 'key' : 'not logged in'}</span>
        <span class="soft">
          {sessions === 1 ? '1 session' : `${sessions.toLocaleString()} sessions`}, the last {ago(last.lastAt)} ago
        </span>
        <span class="why">{last.why}</span>
      </summary>
      <Sessions sessions={newest} />
      {sessions > newest.length && <p class="soft more">and {(sessions - newest.length).toLocaleString()} older</p>}
    </details>
  );
}

/** Asks again and again, but while the page is held still or nobody sees it. */
function useRefused(isPaused: boolean) {
  const [refused, setRefused] = useState<RefusedSubjects | null>(null);
  const [problem, setProblem] = useState<string | null>('Looking …');

  useEffect(() => {
    if (isPaused) return;
    async function look() {
      if (document.hidden) return;
      try {
        setRefused(await ask<RefusedSubjects>('/sessions'));
        setProblem(null);
      } catch (error) {
        setProblem((error as Error).message);
      }
    }
    void look();
    const timer = setInterval(look, LOOK);
    return () => clearInterval(timer);
  }, [isPaused]);

  return { refused, problem };
}
