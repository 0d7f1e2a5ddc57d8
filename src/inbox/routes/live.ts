import type { FastifyInstance } from 'fastify';
import type { Inbox } from '../inbox.ts';

/** Milliseconds. Proxies close connections that are silent for a minute. */
const KEEP_ALIVE = 15_000;

/** What happens to messages, as it happens: server-sent events (HTML standard) of the name `change`, after a first `hello`. */
export function addLiveRoute(api: FastifyInstance, { changes }: Inbox): void {
  const open = new Set<() => void>();
  api.get(
    '/api/live',
    {
      schema: {
        summary: 'Follow what happens',
        description:
          'Server-sent events. `hello` comes first; each `change` has the `ids` of messages that are new or that something happened to, and those that were `removed`.',
        produces: ['text/event-stream'],
      },
    },
    (_request, reply) => {
      reply.hijack();
      const { raw } = reply;
      raw.writeHead(200, {
        ...(reply.getHeaders() as Record<string, string>),
        'content-type': 'text/event-stream',
        // Of nginx: nothing is to be gathered.
        'x-accel-buffering': 'no',
      });
      const say = (event: string, data: unknown) =>
        void raw.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
      say('hello', {});
      const ends = [changes.watch(change => say('change', change))];
      const timer = setInterval(() => void raw.write(': here\n\n'), KEEP_ALIVE).unref();
      const end = () => {
        clearInterval(timer);
        for (const each of ends.splice(0)) each();
        open.delete(end);
        raw.end();
      };
      open.add(end);
      raw.once('close', end);
    },
  );
  api.addHook('preClose', async () => {
    for (const end of open) end();
  });
}
