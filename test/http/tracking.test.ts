import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { CLICK_PATH, createTokens, OPEN_PATH } from '../../src/tracking/token.ts';
import { openPublic } from './support/listeners.ts';

const MANUAL = { redirect: 'manual' } as const;
const PAGE = 'https://shop.example/offers?id=1&x=%20y#top';
const emailId = randomUUID();

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
    const forged = createTokens(['another secret of 16']).sign({ kind: 'open', emailId });
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
    const other = createTokens(['another secret of 16']).sign({ kind: 'click', emailId, url: PAGE });
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
    const old = createTokens(['the old secret, 16']).sign({ kind: 'click', emailId, url: PAGE });
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
