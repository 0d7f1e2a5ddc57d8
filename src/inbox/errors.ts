import type { FastifyInstance } from 'fastify';
import { isForbidden, isUnreachable, StoreError } from '../postgres/errors.ts';

const STATUS: Readonly<Record<StoreError['code'], number>> = {
  'not-found': 404,
  ambiguous: 409,
  conflict: 409,
  invalid: 400,
};

const FORBIDDEN =
  'the role that this worker logs in to the database with has no right to that: run the grants for the inbox of docs/security.md, "Database roles"';

/** Answers of the API say in `error` what is wrong, and nothing of what is inside. */
export function addErrorAnswers(api: FastifyInstance, isPrepared: () => boolean): void {
  api.addHook('onRequest', async (_request, reply) => {
    reply.header('cache-control', 'no-store');
    if (!isPrepared()) await reply.code(503).send({ error: 'the database is not ready yet' });
  });
  api.setErrorHandler((error, request, reply) => {
    if (error instanceof StoreError) return reply.code(STATUS[error.code]).send({ error: error.message });
    const { statusCode = 500, message } = error as { statusCode?: number; message: string };
    if (statusCode >= 400 && statusCode < 500) return reply.code(statusCode).send({ error: message });
    request.log.error(error);
    if (isForbidden(error)) return reply.code(409).send({ error: FORBIDDEN });
    if (isUnreachable(error)) return reply.code(503).send({ error: 'the database cannot be reached just now' });
    throw error;
  });
  // What a handler gives has the type of its answer: the compiler checks it, and no second serializer is needed.
  api.setSerializerCompiler(() => data => JSON.stringify(data));
}
