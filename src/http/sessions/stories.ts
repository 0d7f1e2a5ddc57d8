import { withoutHost } from '../../platform/networks.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { adviceOn } from '../../smtp/session/advice.ts';
import { findSession, type KeptSession } from '../../store/sessions/sessions.ts';
import { type KeptSubject, listSubjects } from '../../store/sessions/subjects.ts';
import type { RefusedSession, RefusedSubject, SessionStory } from './contract.ts';
import { masked } from './masks.ts';

/** So many keys, and so many addresses. */
const MOST_SUBJECTS = 30;

/**
 * Who was refused something, for a page.
 *
 * @param isMasked nobody's address is to be seen
 * @param keys the ids of those that alone are meant; null for all, also for who has not logged in
 */
export async function listRefused(
  db: Queryable,
  isMasked: boolean,
  keys: ReadonlySet<string> | null = null,
): Promise<RefusedSubject[]> {
  const subjects = await listSubjects(db, MOST_SUBJECTS, keys);
  return subjects.map(subject => ({
    kind: subject.isKey ? 'key' : 'address',
    name: nameOf(subject, isMasked),
    sessions: subject.sessions,
    newest: subject.newest.map(session => withAdvice(session, isMasked)),
  }));
}

/** What was said in a session; null where it is not kept. */
export async function findStory(db: Queryable, id: string, isMasked: boolean): Promise<SessionStory | null> {
  const session = await findSession(db, id);
  if (session === null) return null;
  const lines = isMasked ? session.lines.map(([at, by, text]) => [at, by, masked(text)] as const) : session.lines;
  return { ...withAdvice(session, isMasked), lines };
}

function nameOf({ subject, isKey, keyName, newest: [last] }: KeptSubject, isMasked: boolean): string {
  if (isKey) return keyName ?? `${subject} (no such key any more)`;
  return isMasked && last ? withoutHost(last.clientAddress) : subject;
}

function withAdvice(session: KeptSession, isMasked: boolean): RefusedSession {
  const { id, pod, clientAddress, beganAt, lastAt, step, rule, reply, refusals } = session;
  return {
    ...{ id, pod, step, rule, refusals },
    clientAddress: isMasked ? withoutHost(clientAddress) : clientAddress,
    reply: isMasked ? masked(reply) : reply,
    beganAt: beganAt.toISOString(),
    lastAt: lastAt.toISOString(),
    ...adviceOn(rule),
  };
}
