import { useEffect, useState } from 'preact/hooks';
import type { RefusedSession, SessionStory } from '../../src/http/sessions/contract.ts';
import { ask } from './api.ts';
import { fullTime, shortTime } from './format.ts';
import { Transcript } from './transcript.tsx';

export interface SessionsProps {
  readonly sessions: readonly RefusedSession[];
  /** Where the server tells what was said in one, by its id. */
  readonly path?: string;
}

/** Sessions in which something was refused, each with what was said in it when it is opened. */
export function Sessions({ sessions, path = '/sessions' }: SessionsProps) {
  return (
    <ul class="sessions">
      {sessions.map(session => (
        <li key={session.id}>
          <Session session={session} path={path} />
        </li>
      ))}
    </ul>
  );
}

interface SessionProps {
  readonly session: RefusedSession;
  readonly path: string;
}

function Session({ session, path }: SessionProps) {
  const { id, clientAddress, lastAt, reply } = session;
  const [isOpen, setIsOpen] = useState(false);
  return (
    <details class="session" onToggle={event => setIsOpen(event.currentTarget.open)}>
      <summary>
        <time dateTime={lastAt} title={fullTime(lastAt)}>
          {shortTime(lastAt)}
        </time>
        <span class="soft">{clientAddress}</span>
        <code>{reply}</code>
      </summary>
      {isOpen && <Story key={`${id} ${lastAt}`} session={session} path={path} />}
    </details>
  );
}

/** Why, what to change, and the transcript, which is asked for now. */
function Story({ session, path }: SessionProps) {
  const { id, pod, why, change, step, rule, refusals } = session;
  const [story, setStory] = useState<SessionStory | string | null>(null);

  useEffect(() => {
    ask<SessionStory>(`${path}/${encodeURIComponent(id)}`).then(setStory, (error: Error) => setStory(error.message));
  }, [id, path]);

  return (
    <div class="story">
      <p>
        <b>{why}</b> {change}
      </p>
      {story === null || typeof story === 'string' ? (
        <p class="soft" role="status">
          {story ?? 'Looking …'}
        </p>
      ) : (
        <Transcript lines={story.lines.map(([at, by, text]) => ({ at, by, text }))} />
      )}
      <p class="soft">
        {refusals === 1 ? 'Refused once' : `Refused ${refusals.toLocaleString()} times`}, last at {step} ({rule}), on{' '}
        {pod}. Session {id}.
      </p>
    </div>
  );
}
