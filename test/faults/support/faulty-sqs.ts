import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import type { TestContext } from '../../support/relay.ts';

/**
 * `works`: hands on to the real one. `fails`: HTTP 500. `hangs`: takes the request and says nothing. `stalls`: begins an
 * answer and does not end it. `refuses`: reports every entry as failed under HTTP 200. `refusesSome`: every second one.
 * `empty`: HTTP 200 with nothing in it. `forgetful`: hands on, and then says HTTP 500. `unrenewed`: says that messages are
 * hidden for longer, and they are not.
 */
export type SqsBehaviour =
  | 'works'
  | 'fails'
  | 'hangs'
  | 'stalls'
  | 'refuses'
  | 'refusesSome'
  | 'empty'
  | 'forgetful'
  | 'unrenewed';

export interface FaultySqs {
  readonly endpoint: string;
  behaviour: SqsBehaviour;
  /** Calls so far. */
  readonly calls: number;
  /** As a server does with connections on which nothing has been asked for a while. */
  closeIdleConnections(): void;
  /** Refuses connections, until `up`. */
  down(): Promise<void>;
  up(): Promise<void>;
}

interface Entry {
  readonly Id: string;
}

const JSON_TYPE = { 'content-type': 'application/x-amz-json-1.0' };

/** An SQS endpoint in front of a real one, with faults on demand. */
export async function startFaultySqs(t: TestContext, real: string): Promise<FaultySqs> {
  let behaviour: SqsBehaviour = 'works';
  let calls = 0;

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    calls += 1;
    switch (behaviour) {
      case 'hangs':
        return;
      case 'stalls':
        response.writeHead(200, JSON_TYPE).write('{"Successful":[');
        return;
      case 'fails':
        response.writeHead(500, JSON_TYPE).end('{"__type":"InternalFailure"}');
        return;
      case 'empty':
        response.writeHead(200, JSON_TYPE).end('{}');
        return;
      case 'forgetful':
        await handOn(request, body);
        response.writeHead(500, JSON_TYPE).end('{"__type":"InternalFailure"}');
        return;
      case 'refuses':
      case 'refusesSome':
        response.writeHead(200, JSON_TYPE).end(await refuse(request, body, behaviour === 'refuses'));
        return;
      case 'unrenewed':
      case 'works': {
        if (behaviour === 'unrenewed' && /ChangeMessageVisibility/.test(String(request.headers['x-amz-target']))) {
          response.writeHead(200, JSON_TYPE).end('{"Successful":[]}');
          return;
        }
        const answer = await handOn(request, body);
        response.writeHead(answer.status, JSON_TYPE).end(answer.text);
      }
    }
  }

  async function handOn(request: IncomingMessage, body: Buffer): Promise<{ status: number; text: string }> {
    const { authorization = '', 'x-amz-target': target = '', 'content-type': type = '' } = request.headers;
    const headers = { authorization, 'x-amz-target': String(target), 'content-type': type };
    const answer = await fetch(new URL(request.url ?? '/', real), {
      method: 'POST',
      headers,
      body: new Uint8Array(body),
    });
    return { status: answer.status, text: await answer.text() };
  }

  async function refuse(request: IncomingMessage, body: Buffer, all: boolean): Promise<string> {
    const input = JSON.parse(body.toString()) as { Entries: Entry[] };
    const refused = input.Entries.filter((_, index) => all || index % 2 === 0);
    const others = input.Entries.filter(entry => !refused.includes(entry));
    const { text } =
      others.length > 0
        ? await handOn(request, Buffer.from(JSON.stringify({ ...input, Entries: others })))
        : { text: '{}' };
    const Failed = refused.map(({ Id }) => ({ Id, Code: 'InternalError', Message: 'try again', SenderFault: false }));
    return JSON.stringify({ ...JSON.parse(text), Failed });
  }

  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  async function down(): Promise<void> {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  }
  t.after(down);

  return {
    endpoint: `http://127.0.0.1:${port}`,
    get behaviour() {
      return behaviour;
    },
    set behaviour(next) {
      behaviour = next;
    },
    get calls() {
      return calls;
    },
    closeIdleConnections: () => server.closeIdleConnections(),
    down,
    up: async () => {
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
    },
  };
}
