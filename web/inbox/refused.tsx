import { useEffect, useState } from 'preact/hooks';
import type { RefusedSubjects } from '../../src/http/sessions/contract.ts';
import { ask } from '../shared/api.ts';
import { fullTime, span } from '../shared/format.ts';
import { Sessions } from '../shared/sessions.tsx';

/** Milliseconds from one look to the next. */
const LOOK = 5_000;

/** Sessions in which something was refused, by key or address, with what to change in the client. */
export function Refused() {
  const [refused, setRefused] = useState<RefusedSubjects | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    const look = () =>
      document.hidden ||
      ask<RefusedSubjects>('/api/sessions').then(
        found => {
          setRefused(found);
          setProblem(null);
        },
        error => setProblem(error.message),
      );
    look();
    const timer = setInterval(look, LOOK);
    return () => clearInterval(timer);
  }, []);

  return (
    <div class="page">
      <h1>Refused sessions</h1>
      <p class="soft">
        What clients were refused or told to try again later
        {refused !== null && refused.kept > 0 ? `, in the last ${span(refused.kept)}` : ''}: why, and what to change.
      </p>
      {problem !== null && <p class="bad">{problem}</p>}
      {refused?.subjects.length === 0 && (
        <p class="nothing">{refused.kept === 0 ? 'None is kept (sessions.kept).' : 'Nothing was refused.'}</p>
      )}
      {refused?.subjects.map(({ kind, name, sessions, newest }) => (
        <section class="card" key={`${kind} ${name}`}>
          <h2>
            {name} <span class="badge">{kind === 'key' ? 'key' : 'not logged in'}</span>
          </h2>
          {newest[0] && (
            <p class="soft">
              {sessions === 1 ? '1 session' : `${sessions} sessions`}, the last at {fullTime(newest[0].lastAt)}.{' '}
              {newest[0].why} {newest[0].change}
            </p>
          )}
          <Sessions sessions={newest} path="/api/sessions" />
        </section>
      ))}
    </div>
  );
}
