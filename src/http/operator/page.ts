import type { FastifyInstance, FastifyReply } from 'fastify';
import { answer } from '../listener.ts';
import { GUARDING_FIELDS, type LoadPages, Pages } from '../pages.ts';
import { addSessionRoutes } from '../sessions/routes.ts';
import { createOverview, type OverviewParts, sessionsShown } from './overview.ts';
import { Recorder } from './recorder.ts';

export interface OperatorPageParts extends Omit<OverviewParts, 'recorder'> {
  readonly loadPages: LoadPages;
  /** Milliseconds from one sample to the next; five seconds unless given. */
  readonly interval?: number;
}

/** So many may follow at once. Of the listener's connections the rest is for probes and scrapes, whatever people do. */
const MOST_VIEWERS = 20;
/** Bytes that wait for a viewer who does not read; then it is let go, and its browser connects again. */
const MOST_WAITING = 1_000_000;

/** What there is of the page while the process lives. */
export interface OperatorPage {
  start(): void;
  stop(): void;
}

/**
 * Adds the operator's page at `/`, its files, and at `/live` what it shows, as server-sent events (HTML standard): `history` with the
 * samples of the last minutes, then an `overview` at once and with each sample. While nobody follows, nothing is asked of anybody but
 * what is in memory; while somebody does, all is asked once a sample, for all who follow.
 */
export function addOperatorPage(server: FastifyInstance, parts: OperatorPageParts): OperatorPage {
  const { loadPages, registry, role, logger, interval, pool, live } = parts;
  const shownSessions = sessionsShown(role, live.current);
  const viewers = new Set<Viewer>();
  const recorder = new Recorder({
    ...{ registry, role },
    ...(interval !== undefined && { interval }),
    isWatched: () => viewers.size > 0,
    onSample: () => void tellAll(),
  });
  const overview = createOverview({ ...parts, recorder });
  let telling: Promise<string> | null = null;

  /** Made once for all who ask meanwhile. */
  function tell(): Promise<string> {
    telling ??= overview()
      .then(JSON.stringify)
      .finally(() => {
        telling = null;
      });
    return telling;
  }

  async function tellAll(): Promise<void> {
    if (viewers.size === 0) return;
    const text = await tell().catch(error => {
      logger.warn({ err: error }, "the operator's page is not told what there is");
      return null;
    });
    for (const viewer of viewers) if (text !== null) viewer.say('overview', text);
  }

  addFiles(server, loadPages);
  if (shownSessions !== 'off') {
    const kept = () => live.current.sessions.kept;
    addSessionRoutes(server, { pool, kept, isMasked: shownSessions === 'masked', fields: GUARDING_FIELDS });
  }
  server.get('/live', async (_request, reply) => {
    if (viewers.size >= MOST_VIEWERS) return answer(reply.header('retry-after', '30'), 503);
    reply.hijack();
    const viewer: Viewer = startStream(reply, () => viewers.delete(viewer));
    viewers.add(viewer);
    viewer.say('history', JSON.stringify(recorder.history));
    const text = await tell().catch(() => null);
    if (text !== null) viewer.say('overview', text);
    return reply;
  });
  server.addHook('preClose', async () => {
    for (const viewer of viewers) viewer.end();
  });
  return recorder;
}

/** Read when they are first asked for: probes do not wait for it. */
function addFiles(server: FastifyInstance, loadPages: LoadPages): void {
  let loaded: Promise<Pages> | undefined;
  const pages = () => {
    loaded ??= Pages.load(loadPages);
    return loaded;
  };
  server.get('/', async (request, reply) => (await pages()).show('operator', request, reply.headers(GUARDING_FIELDS)));
  server.get<{ Params: { name: string } }>('/assets/:name', async (request, reply) =>
    (await pages()).asset(request.params.name, request, reply.headers(GUARDING_FIELDS)),
  );
}

interface Viewer {
  say(event: string, data: string): void;
  end(): void;
}

/** @param onEnd is called once, however it ends */
function startStream({ raw }: FastifyReply, onEnd: () => void): Viewer {
  raw.writeHead(200, {
    ...GUARDING_FIELDS,
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    // Of nginx: nothing is to be gathered.
    'x-accel-buffering': 'no',
  });
  raw.once('close', onEnd);
  return {
    say(event, data) {
      if (raw.writableLength > MOST_WAITING) raw.destroy();
      else raw.write(`event: ${event}\ndata: ${data}\n\n`);
    },
    end: () => void raw.end(),
  };
}
