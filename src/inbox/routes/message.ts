import type { FastifyInstance, FastifyReply } from 'fastify';
import Type, { type Static } from 'typebox';
import { StoreError } from '../../postgres/errors.ts';
import { removeMessages } from '../../store/inbox/remove.ts';
import { Changed, Details, DetailsQuery, ErrorBody, IdParams } from '../contract.ts';
import type { Inbox } from '../inbox.ts';
import { changesOf } from '../message/changes.ts';
import { detailsOf, type ReadMessage, readMessage, readStory } from '../message/read.ts';
import { makeSafe } from '../message/safe-html.ts';

const PartParams = Type.Object({
  id: Type.String({ format: 'uuid' }),
  path: Type.String({ pattern: '^\\d+(\\.\\d+)*$' }),
});
type PartParams = Static<typeof PartParams>;

const HtmlQuery = Type.Object({
  remote: Type.Optional(Type.Boolean({ description: 'Whether it may load pictures and styles from elsewhere' })),
});
type HtmlQuery = Static<typeof HtmlQuery>;

/** What a browser may show as it is; all else is saved as a file, and no script of either can reach the inbox. */
const SHOWABLE = /^(?:image\/(?:png|jpeg|gif|webp|avif)|text\/plain|application\/pdf)$/;
const NOTHING_RUNS = "default-src 'none'; sandbox";
const NOT_KEPT = 'it is not kept as it was received any more (retention.raw)';

/** One message: read it in every way, remove it. */
export function addMessageRoutes(api: FastifyInstance, inbox: Inbox): void {
  const { pool, live, changes, onlyCaptured } = inbox;
  const canRelease = () => live.current.smtp.host !== '';

  api.get<{ Params: IdParams; Querystring: DetailsQuery; Reply: Details }>(
    '/api/messages/:id',
    {
      schema: {
        summary: 'Everything about a message',
        params: IdParams,
        querystring: DetailsQuery,
        response: { 200: Details, 404: ErrorBody },
      },
    },
    async request => {
      const { bodies } = request.query;
      return detailsOf(await readMessage(inbox, request.params.id), { bodies, canRelease: canRelease() });
    },
  );

  api.get<{ Params: IdParams }>(
    '/api/messages/:id/text',
    { schema: { summary: 'Its text', params: IdParams, produces: ['text/plain'] } },
    async (request, reply) => {
      const { text } = await readStory(inbox, request.params.id);
      if (text === null) throw new StoreError('not-found', 'it has no text');
      return reply.type('text/plain; charset=utf-8').send(text);
    },
  );

  api.get<{ Params: IdParams }>(
    '/api/messages/:id/source',
    { schema: { summary: 'The bytes as received', params: IdParams, produces: ['message/rfc822'] } },
    async (request, reply) => {
      const { raw, story } = await readMessage(inbox, request.params.id);
      if (raw === null) throw new StoreError('not-found', NOT_KEPT);
      return file(reply, { name: `${story.id}.eml`, type: 'message/rfc822', content: raw });
    },
  );

  api.get<{ Params: IdParams; Reply: Changed }>(
    '/api/messages/:id/changes',
    {
      schema: {
        summary: 'What became of it on its way out',
        description: 'Header fields that were added and left out, links and pixel of tracking.',
        params: IdParams,
        response: { 200: Changed, 404: ErrorBody },
      },
    },
    async request => changesOf(await readMessage(inbox, request.params.id), live.current.capture.directory),
  );

  api.get<{ Params: IdParams; Querystring: HtmlQuery }>(
    '/api/messages/:id/html',
    {
      schema: {
        summary: 'Its HTML, made safe to be shown',
        description:
          'With pictures of its own written into it, under a policy by which nothing runs and, unless asked for, nothing is loaded.',
        params: IdParams,
        querystring: HtmlQuery,
        produces: ['text/html'],
      },
    },
    async (request, reply) => {
      const message = await readMessage(inbox, request.params.id);
      const { html, policy } = safeHtmlOf(message, request.query.remote === true);
      return reply
        .header('content-security-policy', policy)
        .header('referrer-policy', 'no-referrer')
        .type('text/html; charset=utf-8')
        .send(html);
    },
  );

  api.get<{ Params: PartParams }>(
    '/api/messages/:id/parts/:path',
    {
      schema: {
        summary: 'The decoded content of a part',
        description: 'An attachment, for instance.',
        params: PartParams,
      },
    },
    async (request, reply) => {
      const { structure } = await readMessage(inbox, request.params.id);
      const part = structure?.leaves.find(({ path }) => path === request.params.path);
      const content = structure?.contentOf(request.params.path);
      if (!part || !content) throw new StoreError('not-found', `there is no part ${request.params.path}`);
      return file(reply, { name: part.filename ?? `part-${part.path}`, type: part.contentType, content });
    },
  );

  api.delete<{ Params: IdParams }>(
    '/api/messages/:id',
    {
      schema: {
        summary: 'Delete a message',
        params: IdParams,
        response: { 204: Type.Null(), 404: ErrorBody, 409: ErrorBody },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const removed = await removeMessages(pool, [id], onlyCaptured());
      if (removed.length === 0) {
        await readStory(inbox, id);
        throw new StoreError('conflict', 'a worker has it just now: try again in a moment');
      }
      changes.removed(removed);
      return reply.code(204).send();
    },
  );
}

function safeHtmlOf({ story, structure }: ReadMessage, remote: boolean) {
  if (story.html === null) throw new StoreError('not-found', 'it has no HTML');
  return makeSafe(story.html, structure, remote);
}

interface SentFile {
  readonly name: string;
  readonly type: string;
  readonly content: Buffer;
}

function file(reply: FastifyReply, { name, type, content }: SentFile): FastifyReply {
  const isShown = SHOWABLE.test(type);
  const ascii = name.replaceAll(/[^\x20-\x7e]|["\\]/g, '_');
  const encoded = encodeURIComponent(name.toWellFormed()).replaceAll(
    /['()*]/g,
    c => `%${c.charCodeAt(0).toString(16)}`,
  );
  return reply
    .header('content-security-policy', NOTHING_RUNS)
    .header(
      'content-disposition',
      `${isShown ? 'inline' : 'attachment'}; filename="${ascii}"; filename*=UTF-8''${encoded}`,
    )
    .type(isShown || type === 'message/rfc822' ? type : 'application/octet-stream')
    .send(content);
}
