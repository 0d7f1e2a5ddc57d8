import { createHmac, timingSafeEqual } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

export interface AccessOptions {
  /** What people log in with; empty: nobody is asked, and only who is on this machine gets in. */
  readonly token: string;
  /** Answers with the page that asks for the token. */
  readonly showLogin: (request: FastifyRequest, reply: FastifyReply) => FastifyReply;
}

const COOKIE = 'smtp_relay_inbox';
/** Seconds. */
const COOKIE_AGE = 7 * 86_400;
/** Milliseconds before a wrong token is refused. */
const REFUSAL_PAUSE = 500;
/** Names of this machine alone. Any other could be one that a stranger's DNS leads here by (DNS rebinding). */
const THIS_MACHINE = /^(?:localhost|[a-z0-9-]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;
const LOGIN = '/login';

/**
 * Keeps strangers out of a listener with pages. Without a token only names of this machine are answered. With one, a cookie or
 * `Authorization: Bearer` has to say it. Other sites may neither have a browser change anything here nor read along: what says that
 * it comes from one (`Origin`, `Sec-Fetch-Site`) is refused.
 *
 * @throws nothing; refusals are answers of 401 and 403 whose `error` says what to do
 */
export function guardAccess(server: FastifyInstance, { token, showLogin }: AccessOptions): void {
  const cookie = token === '' ? '' : createHmac('sha256', token).update('cookie').digest('base64url');

  server.addHook('onRequest', async (request, reply) => {
    const objection = token === '' ? nameProblem(request) : null;
    const foreign = objection ?? originProblem(request);
    if (foreign !== null) return refuse(reply, 403, foreign);
    if (token === '' || isOpen(request) || isLoggedIn(request)) return;
    if (wantsPage(request)) return reply.redirect(LOGIN, 303);
    return refuse(reply, 401, 'say the token of the inbox (inbox.token) as Authorization: Bearer');
  });
  if (token === '') return;

  server.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) =>
    done(null, Object.fromEntries(new URLSearchParams(String(body)))),
  );
  server.get(LOGIN, { schema: { hide: true } }, showLogin);
  server.post<{ Body: { token?: string } | null }>(LOGIN, { schema: { hide: true } }, async (request, reply) => {
    if (!isSame(String(request.body?.token ?? '').trim(), token)) {
      await sleep(REFUSAL_PAUSE);
      return reply.redirect(`${LOGIN}?wrong`, 303);
    }
    const isSecure = request.headers.origin?.startsWith('https:') || request.headers['x-forwarded-proto'] === 'https';
    const fields = [`${COOKIE}=${cookie}`, 'Path=/', 'HttpOnly', 'SameSite=Lax', `Max-Age=${COOKIE_AGE}`];
    return reply.header('set-cookie', [...fields, ...(isSecure ? ['Secure'] : [])].join('; ')).redirect('/', 303);
  });

  function isLoggedIn({ headers }: FastifyRequest): boolean {
    const [, bearer] = /^bearer ([^\s]+)$/i.exec(headers.authorization ?? '') ?? [];
    if (bearer !== undefined) return isSame(bearer, token);
    const given = (headers.cookie ?? '').split(/; */).find(pair => pair.startsWith(`${COOKIE}=`));
    return given !== undefined && isSame(given.slice(COOKIE.length + 1), cookie);
  }
}

/** What the log-in itself is made of. */
function isOpen({ routeOptions }: FastifyRequest): boolean {
  return routeOptions.url === LOGIN || routeOptions.url === '/assets/:name';
}

function wantsPage({ method, headers }: FastifyRequest): boolean {
  return method === 'GET' && (headers.accept ?? '').includes('text/html');
}

function nameProblem({ headers }: FastifyRequest): string | null {
  if (THIS_MACHINE.test(headers.host ?? '')) return null;
  return 'only names of this machine are answered, such as localhost; for others set inbox.token';
}

/** Browsers say of what they send where it comes from; programs need not. */
function originProblem({ method, headers }: FastifyRequest): string | null {
  const { origin, host } = headers;
  const { 'sec-fetch-site': site, 'sec-fetch-mode': mode, 'sec-fetch-dest': destination } = headers;
  const isOfAnother = origin !== undefined && origin.replace(/^https?:\/\//, '') !== host;
  const isFromElsewhere = site !== undefined && site !== 'same-origin' && site !== 'none';
  if (!isOfAnother && !isFromElsewhere) return null;
  // A link may lead here.
  const isLink = method === 'GET' && mode === 'navigate' && destination === 'document';
  return isLink ? null : 'requests of other sites are not answered';
}

/** In a time that tells nothing of the token. */
function isSame(given: string, wanted: string): boolean {
  const [a, b] = [given, wanted].map(text => createHmac('sha256', 'compare').update(text).digest());
  return timingSafeEqual(a as Buffer, b as Buffer);
}

function refuse(reply: FastifyReply, status: 401 | 403, error: string): FastifyReply {
  return reply.code(status).header('cache-control', 'no-store').send({ error });
}
