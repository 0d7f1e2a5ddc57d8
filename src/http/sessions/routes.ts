import type { FastifyInstance, FastifyReply } from 'fastify';
import type pg from 'pg';
import { reportInTime } from '../dependency-checks.ts';
import type { RefusedSubjects } from './contract.ts';
import { findStory, listRefused } from './stories.ts';

export interface SessionRoutesOptions {
  readonly pool: pg.Pool;
  /** Milliseconds for which sessions are kept. */
  readonly kept: () => number;
  readonly isMasked: boolean;
  /** Header fields of each answer. */
  readonly fields: Readonly<Record<string, string>>;
}

/** Milliseconds for which an answer serves others who ask, too. */
const SHARED = 3_000;
const GONE = 'This session is not kept any more.';

/**
 * Adds `/sessions`, which says who was refused something, and `/sessions/<id>` with what was said in one; JSON both. 503 where the
 * database does not tell in two seconds.
 */
export function addSessionRoutes(server: FastifyInstance, options: SessionRoutesOptions): void {
  const { pool, kept, isMasked, fields } = options;
  const list = reportInTime(() => listRefused(pool, isMasked));
  let last: { readonly at: number; readonly subjects: ReturnType<typeof list> } | null = null;

  server.get('/sessions', async (_request, reply) => {
    if (last === null || performance.now() - last.at > SHARED) last = { at: performance.now(), subjects: list() };
    const subjects = await last.subjects;
    if (subjects !== null) return send(reply, { isMasked, kept: kept(), subjects } satisfies RefusedSubjects);
    last = null;
    return unknown(reply);
  });
  server.get<{ Params: { id: string } }>('/sessions/:id', async ({ params: { id } }, reply) => {
    const found = await reportInTime(async () => ({ story: await findStory(pool, id, isMasked) }))();
    if (found === null) return unknown(reply);
    return found.story === null ? send(reply.code(404), { error: GONE }) : send(reply, found.story);
  });

  function send(reply: FastifyReply, body: object): FastifyReply {
    return reply.headers(fields).header('cache-control', 'no-store').send(body);
  }

  function unknown(reply: FastifyReply): FastifyReply {
    return send(reply.code(503), { error: 'The database does not tell of sessions just now.' });
  }
}
