import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { json } from 'node:stream/consumers';
import { makeCertificate } from '../support/tls.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

/** What Postmark answers: https://postmarkapp.com/developer/api/suppressions-api */
const POSTMARK = {
  Suppressions: [
    {
      EmailAddress: 'postmark@example.com',
      SuppressionReason: 'HardBounce',
      Origin: 'Recipient',
      CreatedAt: '2026-11-20T08:00:00-05:00',
    },
  ],
};
export const POSTMARK_TOKEN = 'a-token';

/** Services of others, beside SES, that documents speak to. They answer what is asked as it should be, and 422 else. */
export interface Services {
  /** HTTPS, with a certificate of nobody's. */
  readonly postmarkPort: number;
  readonly eksEndpoint: string;
  /** What EKS was asked to associate. */
  readonly associations: readonly Record<string, unknown>[];
}

export async function startServices(t: TestContext): Promise<Services> {
  const associations: Record<string, unknown>[] = [];
  const postmark: RequestListener = ({ url, headers }, response) => {
    const isAsked =
      url === '/message-streams/outbound/suppressions/dump' &&
      headers['x-postmark-server-token'] === POSTMARK_TOKEN &&
      headers.accept === 'application/json';
    response.writeHead(isAsked ? 200 : 422).end(isAsked ? JSON.stringify(POSTMARK) : '');
  };
  const eks: RequestListener = async (request, response) => {
    const association = (await json(request)) as Record<string, unknown>;
    associations.push({ path: request.url, ...association });
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ association }));
  };
  const { cert, key } = await makeCertificate(t);
  return {
    postmarkPort: await listen(t, createHttpsServer({ cert, key }, postmark)),
    eksEndpoint: `http://127.0.0.1:${await listen(t, createHttpServer(eks))}`,
    associations,
  };
}

async function listen(t: TestContext, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => void server.close());
  return (server.address() as AddressInfo).port;
}
