import type { FastifyInstance } from 'fastify';
import Type, { type Static } from 'typebox';
import { StoreError } from '../../postgres/errors.ts';
import { readSearch, type SearchTerm } from '../../store/inbox/query.ts';
import { removeMessages } from '../../store/inbox/remove.ts';
import { countInbox, type InboxPage, type InboxQuestion, searchInbox } from '../../store/inbox/search.ts';
import { ErrorBody, ListQuery, Page, SearchQuery } from '../contract.ts';
import type { Inbox } from '../inbox.ts';

const Removed = Type.Object({ removed: Type.Integer({ description: 'How many are gone' }) });
type Removed = Static<typeof Removed>;

/** Messages removed by one statement. */
const BATCH = 500;

/** All messages: list, search, wait for, remove. */
export function addMessagesRoutes(api: FastifyInstance, inbox: Inbox): void {
  const { pool, changes, onlyCaptured } = inbox;

  api.get<{ Querystring: ListQuery; Reply: Page }>(
    '/api/messages',
    {
      schema: {
        summary: 'List messages, or wait for one',
        description:
          'Newest first. What is given has to hold together. With `wait` it answers as soon as there is one; give `since`, from before your application sent it, to leave earlier ones out.',
        querystring: ListQuery,
        response: { 200: Page, 400: ErrorBody },
      },
    },
    async (request, reply) => {
      const { wait, ...query } = request.query;
      const question = { ...questionOf(query), onlyCaptured: onlyCaptured(), after: query.after, limit: query.limit };
      const gone = new AbortController();
      reply.raw.once('close', () => gone.abort());
      const page = await pageWithin(question, wait === undefined ? 0 : Number.parseInt(wait, 10) * 1_000, gone.signal);
      const isAll = !onlyCaptured() && Object.keys(request.query).every(name => name === 'limit');
      return isAll ? { ...shown(page), total: await countInbox(pool) } : shown(page);
    },
  );

  api.delete<{ Querystring: SearchQuery; Reply: Removed }>(
    '/api/messages',
    {
      schema: {
        summary: 'Delete messages',
        description: 'All that match what is given; without anything, all.',
        querystring: SearchQuery,
        response: { 200: Removed, 400: ErrorBody },
      },
    },
    async request => {
      const { query } = request.query;
      if (query !== undefined && readSearch(query).length === 0)
        throw new StoreError('invalid', 'query says nothing: leave it out to delete all');
      let removed = 0;
      let after: string | undefined;
      do {
        const page = await searchInbox(pool, {
          ...questionOf(request.query),
          onlyCaptured: onlyCaptured(),
          after,
          limit: BATCH,
        });
        const ids = await removeMessages(
          pool,
          page.messages.map(({ id }) => id),
          onlyCaptured(),
        );
        if (ids.length > 0) changes.removed(ids);
        removed += ids.length;
        after = page.next ?? undefined;
      } while (after !== undefined);
      return { removed };
    },
  );

  /** The first page that has a message; what there is when the time is over. */
  async function pageWithin(question: InboxQuestion, milliseconds: number, gone: AbortSignal): Promise<InboxPage> {
    const over = AbortSignal.any([gone, AbortSignal.timeout(milliseconds)]);
    for (;;) {
      const { mark } = changes;
      const page = await searchInbox(pool, question);
      if (page.messages.length > 0 || milliseconds === 0 || over.aborted) return page;
      await changes.changed(over, mark);
    }
  }
}

function questionOf({
  query,
  from,
  to,
  subject,
  tag,
  since,
}: SearchQuery): Pick<InboxQuestion, 'query' | 'terms' | 'since'> {
  const [name = '', ...value] = (tag ?? '').split('=');
  const terms: SearchTerm[] = [
    ...(from === undefined ? [] : [{ field: 'from', text: from } as const]),
    ...(to === undefined ? [] : [{ field: 'to', text: to } as const]),
    ...(subject === undefined ? [] : [{ field: 'subject', text: subject } as const]),
    ...(tag === undefined ? [] : [{ field: 'tag', name, value: value.length === 0 ? null : value.join('=') } as const]),
  ];
  return { query, terms, since: since === undefined ? undefined : new Date(since) };
}

function shown({ messages, next }: InboxPage): Page {
  return {
    messages: messages.map(message => ({
      ...message,
      createdAt: message.createdAt.toISOString(),
      to: [...message.to],
      cc: [...message.cc],
      bcc: [...message.bcc],
      tags: message.tags.map(({ name, value }) => ({ name, value })),
      events: { ...message.events },
    })),
    next,
  };
}
