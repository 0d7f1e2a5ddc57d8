import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import { get } from 'node:http';
import { describe, it } from 'node:test';
import { endLinks, listEndedLinks, restoreLinks } from '../../src/store/events/ended-links.ts';
import { createEnded } from '../../src/tracking/ended.ts';
import { CLICK_PATH, createTokens, OPEN_PATH } from '../../src/tracking/token.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { openPool } from '../support/pool.ts';
import { collectingLogger, openPublic, SECRET } from './support/listeners.ts';

const MANUAL = { redirect: 'manual' } as const;
const PAGE = 'https://shop.example/offers?id=1&x=%20y#top';
const emailId = randomUUID();
const ISSUER = { host: '127.0.0.1', owner: 'acme' };

/** What every answer to a tracking link says, whatever the token. */
function assertKeptNowhere(response: Response): void {
  assert.match(response.headers.get('cache-control') ?? '', /no-store.*private|private.*no-store/);
  assert.equal(response.headers.get('referrer-policy'), 'no-referrer');
  assert.match(response.headers.get('x-robots-tag') ?? '', /noindex/);
  assert.equal(response.headers.get('x-powered-by'), null);
  assert.equal(response.headers.get('server'), null);
}

describe('an open', () => {
  it('is answered with an image of one pixel, and counted', async t => {
    const { url, tokens, hits } = await openPublic(t);
    const token = tokens.sign({ kind: 'open', emailId });
    const response = await fetch(`${url}${OPEN_PATH}${token}`, { headers: { 'user-agent': 'Mail/1.0' } });
    const image = Buffer.from(await response.arrayBuffer());
    assert.deepEqual([response.status, response.headers.get('content-type')], [200, 'image/gif']);
    assert.deepEqual([response.headers.get('content-length'), image.length], ['43', 43]);
    assert.deepEqual([image.toString('latin1', 0, 6), image.readUInt16LE(6), image.readUInt16LE(8)], ['GIF89a', 1, 1]);
    assertKeptNowhere(response);
    assert.deepEqual(hits, [{ type: 'opened', emailId, url: null, userAgent: 'Mail/1.0' }]);
  });

  it('with a token that is not ours gets the same image, and is not counted', async t => {
    const { url, tokens, hits } = await openPublic(t);
    const forged = createTokens(['another secret of 16']).sign({ kind: 'open', emailId }, ISSUER);
    const click = tokens.sign({ kind: 'click', emailId, url: PAGE });
    for (const token of [forged, click, 'x', 'a'.repeat(12_000)]) {
      const response = await fetch(`${url}${OPEN_PATH}${token}`);
      assert.deepEqual([response.status, response.headers.get('content-length')], [200, '43']);
      assertKeptNowhere(response);
    }
    assert.deepEqual(hits, []);
  });
});

describe('a click', () => {
  it('leads to exactly the URL in its token, and is counted', async t => {
    const { url, tokens, hits } = await openPublic(t);
    const token = tokens.sign({ kind: 'click', emailId, url: PAGE });
    const response = await fetch(`${url}${CLICK_PATH}${token}`, { ...MANUAL, headers: { 'user-agent': 'Web/2.0' } });
    assert.deepEqual([response.status, response.headers.get('location')], [302, PAGE]);
    assertKeptNowhere(response);
    assert.deepEqual(hits, [{ type: 'clicked', emailId, url: PAGE, userAgent: 'Web/2.0' }]);
  });

  it('leads nowhere without a token of ours, whatever the query says', async t => {
    const { url, tokens, hits } = await openPublic(t);
    const good = tokens.sign({ kind: 'click', emailId, url: PAGE });
    const changed = `${good.slice(0, 40)}${good[40] === 'A' ? 'B' : 'A'}${good.slice(41)}`;
    const open = tokens.sign({ kind: 'open', emailId });
    const other = createTokens(['another secret of 16']).sign({ kind: 'click', emailId, url: PAGE }, ISSUER);
    for (const token of [
      changed,
      open,
      other,
      'https%3A%2F%2Fevil.example',
      `x?url=${encodeURIComponent(PAGE)}`,
      '%zz',
    ]) {
      const response = await fetch(`${url}${CLICK_PATH}${token}`, MANUAL);
      assert.deepEqual([response.status, response.headers.get('location')], [404, null], token);
      assert.match(response.headers.get('content-type') ?? '', /^text\/plain/);
      const page = await response.text();
      assert.ok(page.length < 100 && !page.includes('evil'), page);
    }
    const ignored = await fetch(`${url}${CLICK_PATH}${good}?url=https://evil.example&u=//evil.example`, MANUAL);
    assert.equal(ignored.headers.get('location'), PAGE);
    assert.equal(hits.length, 1);
  });

  it('is good as long as one of the secrets signed it', async t => {
    const tokens = createTokens(['the new secret, 16', 'the old secret, 16']);
    const { url } = await openPublic(t, { tracking: { tokens: () => tokens, hits: { add: () => {} } } });
    const old = createTokens(['the old secret, 16']).sign({ kind: 'click', emailId, url: PAGE }, ISSUER);
    const response = await fetch(`${url}${CLICK_PATH}${old}`, MANUAL);
    assert.equal(response.headers.get('location'), PAGE);
  });

  it('works for URLs of 8 KiB, and for those that are not ASCII', async t => {
    const { url, tokens } = await openPublic(t);
    const long = `https://shop.example/${'a'.repeat(8_192 - 21)}`;
    assert.equal(long.length, 8_192);
    const cases = [
      [long, long],
      ['https://bücher.example/größe', 'https://xn--bcher-kva.example/gr%C3%B6%C3%9Fe'],
    ] as const;
    for (const [target, location] of cases) {
      const token = tokens.sign({ kind: 'click', emailId, url: target });
      const response = await fetch(`${url}${CLICK_PATH}${token}`, MANUAL);
      assert.deepEqual([response.status, response.headers.get('location')], [302, location]);
    }
  });
});

describe('a link', () => {
  const click = { kind: 'click', emailId, url: PAGE } as const;

  /** Asks as a browser does that a link to this host has led here, with or without a proxy that asks by another name. */
  function ask(
    port: number,
    token: string,
    headers: Record<string, string>,
  ): Promise<{ status: number; location: string | undefined }> {
    return new Promise((resolve, reject) => {
      const request = get({ host: '127.0.0.1', port, path: `${CLICK_PATH}${token}`, headers }, response => {
        response.resume();
        resolve({ status: response.statusCode ?? 0, location: response.headers.location });
      });
      request.on('error', reject);
    });
  }

  it('is good at the host that it was made for only, so that no owner has links lead on from the host of another', async t => {
    const { port, tokens, hits } = await openPublic(t);
    const [a, b] = ['links.a.test', 'links.b.test'].map(host => tokens.sign(click, { host })) as [string, string];
    for (const host of ['links.a.test', 'LINKS.A.test', 'links.a.test:8443', 'links.a.test.']) {
      assert.deepEqual(await ask(port, a, { host }), { status: 302, location: PAGE }, host);
      assert.deepEqual(await ask(port, b, { host }), { status: 404, location: undefined }, host);
    }
    for (const host of ['a.test', 'x.links.a.test', 'links.a.test.evil.test', 'evil.test#links.a.test', '']) {
      assert.equal((await ask(port, a, { host })).status, 404, host);
    }
    const proxied = (forwarded: string) => ask(port, a, { host: 'worker.internal', 'x-forwarded-host': forwarded });
    assert.deepEqual(
      [(await proxied('links.a.test, edge.test')).status, (await proxied('links.b.test')).status],
      [302, 404],
    );
    assert.equal(hits.length, 5);
  });

  it('made before links said their host is good at the default host until 30 June 2027', async t => {
    const payload = Buffer.concat([
      Buffer.of(1, 1),
      Buffer.from(emailId.replaceAll('-', ''), 'hex'),
      Buffer.from(PAGE),
    ]);
    const mac = createHmac('sha256', SECRET)
      .update('opensend smtp-relay tracking\n')
      .update(payload)
      .digest()
      .subarray(0, 16);
    const old = Buffer.concat([payload, mac]).toString('base64url');
    let now = Date.parse('2027-06-30T23:59:59Z');
    const tokens = createTokens([SECRET], { defaultHost: 'track.test', now: () => now });
    const { port } = await openPublic(t, { tracking: { tokens: () => tokens, hits: { add: () => {} } } });
    assert.deepEqual(await ask(port, old, { host: 'track.test' }), { status: 302, location: PAGE });
    assert.equal((await ask(port, old, { host: 'links.a.test' })).status, 404);
    now += 1_000;
    assert.equal((await ask(port, old, { host: 'track.test' })).status, 404);
  });

  it('of a message or an owner that was ended is 410 within seconds, and leads on when it is restored', async t => {
    const pool = openPool(await createDatabase(t), 2);
    const ended = createEnded({ read: () => listEndedLinks(pool), logger: collectingLogger().logger, interval: 10 });
    ended.start();
    t.after(async () => {
      await ended.stop();
      await pool.end();
    });
    const counted: unknown[] = [];
    const signer = createTokens([SECRET]);
    const hits = { add: (hit: unknown) => void counted.push(hit) };
    const { url, tokens } = await openPublic(t, { tracking: { tokens: () => signer, hits, ended } });
    const statuses = async () => {
      const links = [
        tokens.sign(click),
        tokens.sign({ ...click, emailId: randomUUID() }),
        tokens.sign(click, { owner: 'other' }),
      ];
      const answers = await Promise.all(links.map(token => fetch(`${url}${CLICK_PATH}${token}`, MANUAL)));
      return answers.map(({ status }) => status).join(' ');
    };
    const becomes = (wanted: string) => eventually(async () => (await statuses()) === wanted);
    await becomes('302 302 302');
    await endLinks(pool, { kind: 'owner', owner: 'acme' });
    await becomes('410 410 302');
    await endLinks(pool, { kind: 'message', emailId: emailId.toUpperCase() });
    await restoreLinks(pool, { kind: 'owner', owner: 'acme' });
    await becomes('410 302 410');
    counted.length = 0;
    const open = await fetch(`${url}${OPEN_PATH}${tokens.sign({ kind: 'open', emailId })}`);
    assert.deepEqual([open.status, open.headers.get('content-length'), counted], [200, '43', []]);
    await restoreLinks(pool, { kind: 'message', emailId });
    await becomes('302 302 302');
  });
});

describe('HEAD and prefetching', () => {
  it('are answered like GET, and do not count', async t => {
    const { url, tokens, hits } = await openPublic(t);
    const open = `${url}${OPEN_PATH}${tokens.sign({ kind: 'open', emailId })}`;
    const click = `${url}${CLICK_PATH}${tokens.sign({ kind: 'click', emailId, url: PAGE })}`;
    const head = await fetch(open, { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers.get('content-length')], [200, '43']);
    const requests: RequestInit[] = [
      { method: 'HEAD' },
      { headers: { 'sec-purpose': 'prefetch;prerender' } },
      { headers: { 'sec-purpose': 'prefetch' } },
      { headers: { purpose: 'prefetch' } },
      { headers: { 'x-purpose': 'preview' } },
      { headers: { 'x-moz': 'prefetch' } },
    ];
    for (const request of requests) {
      const response = await fetch(click, { ...MANUAL, ...request });
      assert.deepEqual([response.status, response.headers.get('location')], [302, PAGE], JSON.stringify(request));
    }
    assert.deepEqual(hits, []);
    await fetch(click, MANUAL);
    assert.equal(hits.length, 1);
  });
});
