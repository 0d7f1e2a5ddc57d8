import swagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import manifest from '../../package.json' with { type: 'json' };
import { sendsToPeople } from '../config/derived.ts';
import { guardAccess } from '../http/access.ts';
import { createListener, type Listener, type ListenerLimits } from '../http/listener.ts';
import { GUARDING_FIELDS, Pages } from '../http/pages.ts';
import { HeaderReader } from '../intake/header-reader.ts';
import { createRehearsalIntake } from '../intake/rehearsal.ts';
import { Parser } from '../message/parser.ts';
import { Rehearsal } from '../smtp/rehearsal.ts';
import { addErrorAnswers } from './errors.ts';
import type { Inbox, InboxParts } from './inbox.ts';
import { LiveChanges } from './live.ts';
import { addActionRoutes } from './routes/actions.ts';
import { addChaosRoutes } from './routes/chaos.ts';
import { addKeyRoutes } from './routes/keys.ts';
import { addLiveRoute } from './routes/live.ts';
import { addMessageRoutes } from './routes/message.ts';
import { addMessagesRoutes } from './routes/messages.ts';
import { addSessionRoutes } from './routes/sessions.ts';

const LIMITS: ListenerLimits = {
  connections: 500,
  urlLength: 8_192,
  headerBytes: 32_768,
  bodyBytes: 65_536,
  headersTimeout: 10_000,
  // A request may wait for a message for a minute, and says nothing meanwhile.
  requestTimeout: 75_000,
  keepAliveTimeout: 65_000,
};

/** The page and the API of the inbox. Nothing listens before `open`. */
export function createInbox(parts: InboxParts): Pick<Listener, 'open' | 'close'> {
  const { live, pool, metrics, loadPages } = parts;
  const { host, port, token } = live.current.inbox;
  const logger = parts.logger.child({ room: 'inbox' });
  const listener = createListener({ name: 'inbox', host, port, limits: LIMITS, logger, metrics });
  const { server } = listener;
  const onlyCaptured = () => sendsToPeople(live.current);
  const parser = new Parser(live.current.parsing);
  const headers = new HeaderReader(live.current.parsing);
  const rehearsed = createRehearsalIntake({ ...parts, logger, parser, headers, isReady: parts.isPrepared });
  const changes = new LiveChanges(pool, onlyCaptured, logger);
  const rehearsal = new Rehearsal(live, rehearsed);
  const inbox: Inbox = { ...parts, logger, onlyCaptured, changes, rehearsal };
  return {
    async open() {
      const pages = await Pages.load(loadPages);
      guardAccess(server, { token, showLogin: (request, reply) => pages.show('login', request, reply) });
      server.addHook('onRequest', async (_request, reply) => void reply.headers(GUARDING_FIELDS));
      server.addContentTypeParser(
        'application/json',
        { parseAs: 'string' },
        server.getDefaultJsonParser('error', 'error'),
      );
      addPages(server, pages);
      await server.register(swagger, { openapi: DOCUMENT });
      await server.register(async api => addApi(api, inbox));
      const opened = await listener.open();
      logger.info({ host, port: opened, token: token !== '' }, 'the inbox is open');
      return opened;
    },
    async close(milliseconds) {
      await listener.close(milliseconds);
      await Promise.all([parser.close(), headers.close()]);
    },
  };
}

/** The page finds out itself which message its address names. */
function addPages(server: FastifyInstance, pages: Pages): void {
  pages.addAssets(server);
  for (const url of ['/', '/messages/:id', '/sessions', '/chaos']) {
    server.get(url, { schema: { hide: true } }, (request, reply) => pages.show('inbox', request, reply));
  }
}

const DOCUMENT = {
  openapi: '3.1.0',
  info: {
    title: 'The inbox of smtp-relay',
    description:
      'Captured messages, for integration tests. Where `inbox.token` is set, say it as `Authorization: Bearer`.',
    version: manifest.version,
  },
  components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
} as const;

function addApi(api: FastifyInstance, inbox: Inbox): void {
  addErrorAnswers(api, inbox.isPrepared);
  addMessagesRoutes(api, inbox);
  addMessageRoutes(api, inbox);
  addActionRoutes(api, inbox);
  addKeyRoutes(api, inbox);
  addChaosRoutes(api, inbox);
  addSessionRoutes(api, inbox);
  addLiveRoute(api, inbox);
  api.get('/api/openapi.json', { schema: { hide: true } }, () => api.swagger());
}
