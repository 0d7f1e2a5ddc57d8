import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Ended } from '../tracking/ended.ts';
import type { Hits } from '../tracking/hits.ts';
import { CLICK_PATH, hostOf, OPEN_PATH, type Tokens } from '../tracking/token.ts';
import { addRoute } from './listener.ts';

export interface TrackingRoutesOptions {
  /** Asked for at each request, so that new secrets count at once. */
  readonly tokens: () => Pick<Tokens, 'verify'>;
  readonly hits: Pick<Hits, 'add'>;
  /** Which links have ended; none unless given. */
  readonly ended?: Pick<Ended, 'has'>;
}

/** A transparent image of one pixel, by the GIF89a specification; 43 bytes. */
const PIXEL = Buffer.from(
  [
    '474946383961', // the signature, GIF89a
    '01000100f00000', // a screen of one by one pixel, and a table of two colours:
    '000000000000', // black both
    '21f9040100000000', // the first of which is transparent
    '2c00000000010001000002024401003b', // the image: one pixel of the first colour; the end
  ].join(''),
  'hex',
);

/** Where browsers say that a page is fetched before anybody has asked for it (Sec-Purpose: Fetch standard; older ones). */
const PURPOSE_HEADERS = ['sec-purpose', 'purpose', 'x-purpose', 'x-moz'] as const;
const AHEAD = /prefetch|prerender|preview/i;
const NOT_VALID = 'This link is not valid, or no longer so.\n';
const ENDED = 'This link has ended.\n';

/**
 * Opens and clicks. The answer depends on the token alone, and is given at once; the hit is written later, or never where
 * the database stays away.
 */
export function addTrackingRoutes(server: FastifyInstance, { tokens, hits, ended }: TrackingRoutesOptions): void {
  addRoute(server, {
    url: `${OPEN_PATH}:token`,
    methods: ['GET', 'HEAD'],
    handle: (request, reply) => {
      const token = tokens().verify(tokenOf(request), hostAsked(request));
      if (token?.kind === 'open' && counts(request) && !ended?.has(token)) {
        hits.add({ type: 'opened', emailId: token.emailId, url: null, userAgent: userAgentOf(request) });
      }
      // To a forged token as well: mail shows no broken image, and nobody learns which tokens are good.
      return uncached(reply).type('image/gif').send(PIXEL);
    },
  });
  addRoute(server, {
    url: `${CLICK_PATH}:token`,
    methods: ['GET', 'HEAD'],
    handle: (request, reply) => {
      const token = tokens().verify(tokenOf(request), hostAsked(request));
      if (token?.kind !== 'click') return refuse(reply, 404, NOT_VALID);
      if (ended?.has(token)) return refuse(reply, 410, ENDED);
      if (counts(request)) {
        hits.add({ type: 'clicked', emailId: token.emailId, url: token.url, userAgent: userAgentOf(request) });
      }
      // The target comes out of the token only: there is no way to have this listener redirect to anywhere else.
      return uncached(reply).code(302).header('location', locationOf(token.url)).send();
    },
  });
}

function refuse(reply: FastifyReply, status: 404 | 410, text: string): FastifyReply {
  return uncached(reply).code(status).type('text/plain; charset=utf-8').send(text);
}

/**
 * The host that the browser was sent to. A proxy that asks us by another name says it by X-Forwarded-Host: whoever is led here by
 * a link cannot be made to send that field.
 */
function hostAsked({ headers }: FastifyRequest): string | null {
  const forwarded = String(headers['x-forwarded-host'] ?? '')
    .split(',')[0]
    ?.trim();
  return hostOf(forwarded || (headers.host ?? ''));
}

function tokenOf(request: FastifyRequest): string {
  return (request.params as { token: string }).token;
}

/** Whether somebody has seen the message: not for HEAD, nor for what a browser fetches ahead. */
function counts({ method, headers }: FastifyRequest): boolean {
  return method === 'GET' && !PURPOSE_HEADERS.some(name => AHEAD.test(String(headers[name] ?? '')));
}

function userAgentOf({ headers }: { readonly headers: IncomingHttpHeaders }): string | null {
  return headers['user-agent'] || null;
}

/** Header fields hold ASCII only. What is ASCII stays exactly as the message had it. */
function locationOf(url: string): string {
  return /^[\x21-\x7e]+$/.test(url) ? url : new URL(url).href;
}

function uncached(reply: FastifyReply): FastifyReply {
  return reply
    .header('cache-control', 'no-store, private, max-age=0')
    .header('referrer-policy', 'no-referrer')
    .header('x-robots-tag', 'noindex, nofollow')
    .header('x-content-type-options', 'nosniff');
}
