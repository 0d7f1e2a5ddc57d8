import type { FastifyError, FastifyInstance, FastifySchemaValidationError } from 'fastify';
import { isDataException, isForbidden, isUnreachable, type Listed, StoreError } from '../postgres/errors.ts';

const STATUS: Readonly<Record<StoreError['code'], number>> = {
  'not-found': 404,
  ambiguous: 409,
  conflict: 409,
  invalid: 400,
};

/** Where the API lists what there is; the rest is nothing that it asks the store for. */
const LISTS: Partial<Readonly<Record<Listed, string>>> = { emails: 'GET /api/messages', keys: 'GET /api/keys' };

const FORBIDDEN =
  'the role that this worker logs in to the database with has no right to that: run the grants for the inbox of docs/security.md, "Database roles"';

const NOT_STORED = 'something in the request is no text that a database could hold, such as a character of the code 0';

type RequestError = Pick<FastifyError, 'statusCode' | 'message' | 'validation'>;

/** What a value has to be where the rule that it breaks says so in no words of people. */
const FORMS: Readonly<Record<string, string>> = {
  'date-time': 'a time, such as 2026-11-29T11:06:00Z',
  uuid: 'an id, such as 5ce7200a-ad56-46bf-acb8-629e819448e5',
  wait: '1s to 60s',
};

function explain({ instancePath, keyword, params, message = '' }: FastifySchemaValidationError): string {
  const name = instancePath.slice(1).replaceAll('/', '.');
  if (keyword === 'additionalProperties') return `there is no ${params['additionalProperty']}: see /api/openapi.json`;
  if (keyword === 'enum') return `${name} has to be one of ${(params['allowedValues'] as string[]).join(', ')}`;
  if (keyword === 'minLength') return `${name} is empty`;
  const form = keyword === 'format' ? FORMS[String(params['format'])] : FORMS[name];
  return form === undefined ? `${name || 'the body'} ${message}` : `${name} has to be ${form}`;
}

function explainStore({ message, see }: StoreError): string {
  const list = see && LISTS[see];
  return list ? `${message}; see: ${list}` : message;
}

/** Answers of the API say in `error` what is wrong, and nothing of what is inside. */
export function addErrorAnswers(api: FastifyInstance, isPrepared: () => boolean): void {
  api.addHook('onRequest', async (_request, reply) => {
    reply.header('cache-control', 'no-store');
    if (!isPrepared()) await reply.code(503).send({ error: 'the database is not ready yet' });
  });
  api.setErrorHandler((error, request, reply) => {
    if (error instanceof StoreError) return reply.code(STATUS[error.code]).send({ error: explainStore(error) });
    const { statusCode = 500, message, validation } = error as RequestError;
    if (validation !== undefined) return reply.code(400).send({ error: validation.map(explain).join('; ') });
    if (statusCode === 415)
      return reply.code(415).send({ error: 'say it as JSON, with content-type: application/json' });
    if (statusCode >= 400 && statusCode < 500) return reply.code(statusCode).send({ error: message });
    if (isDataException(error)) return reply.code(400).send({ error: NOT_STORED });
    request.log.error(error);
    if (isForbidden(error)) return reply.code(409).send({ error: FORBIDDEN });
    if (isUnreachable(error)) return reply.code(503).send({ error: 'the database cannot be reached just now' });
    throw error;
  });
  // What a handler gives has the type of its answer: the compiler checks it, and no second serializer is needed.
  api.setSerializerCompiler(() => data => JSON.stringify(data));
}
