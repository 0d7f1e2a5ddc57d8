import type { FastifyInstance } from 'fastify';
import Type, { type Static } from 'typebox';
import type { RefusedSubject, RefusedSubjects, SessionStory } from '../../http/sessions/contract.ts';
import { findStory, listRefused } from '../../http/sessions/stories.ts';
import { StoreError } from '../../postgres/errors.ts';
import { listSandboxed } from '../../store/keys/chaos.ts';
import { findSession } from '../../store/sessions/sessions.ts';
import { ErrorBody } from '../contract.ts';
import type { Inbox } from '../inbox.ts';

const SessionParams = Type.Object({ id: Type.String({ maxLength: 100 }) });
type SessionParams = Static<typeof SessionParams>;

/** Sessions in which something was refused. Where mail goes to people, only those of keys in sandbox. */
export function addSessionRoutes(api: FastifyInstance, { pool, live, onlyCaptured }: Inbox): void {
  /** The ids of keys whose sessions may be seen; null for all, and for addresses that have not logged in. */
  const seen = async () => (onlyCaptured() ? new Set((await listSandboxed(pool)).map(({ id }) => id)) : null);

  api.get<{ Reply: RefusedSubjects }>(
    '/api/sessions',
    {
      schema: {
        summary: 'List sessions in which something was refused or deferred',
        description:
          'By key, or by address where the client has not logged in, with why and what to change in the client.',
      },
    },
    async () => {
      const keys = await seen();
      const subjects: RefusedSubject[] = await listRefused(pool, false, keys);
      return { isMasked: false, kept: live.current.sessions.kept, subjects };
    },
  );

  api.get<{ Params: SessionParams; Reply: SessionStory }>(
    '/api/sessions/:id',
    { schema: { summary: 'What was said in one', params: SessionParams, response: { 404: ErrorBody } } },
    async ({ params: { id } }) => {
      const keys = await seen();
      const session = await findSession(pool, id);
      const story = session && (keys === null || keys.has(session.subject)) ? await findStory(pool, id, false) : null;
      if (story === null) throw new StoreError('not-found', 'this session is not kept any more');
      return story;
    },
  );
}
