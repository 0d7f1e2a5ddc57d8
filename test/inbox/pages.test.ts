import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { currentPages } from '../../dev/pages.ts';
import { rawRequest, startInbox } from './inbox.ts';

/** What a page and its files may weigh together, compressed. */
const MOST_BYTES = 150_000;

describe('the pages', () => {
  it('are built light, and with nothing of anybody else', async () => {
    const files = await currentPages();
    const weight = [...files.values()].reduce((sum, content) => sum + gzipSync(content).length, 0);
    assert.ok(weight < MOST_BYTES, `${weight} bytes`);
    for (const [name, content] of files) {
      const text = Buffer.from(content).toString();
      const addresses = [...text.matchAll(/https?:\/\/[^\s"'`)\\]+/g)].map(([address]) => address);
      // Names of XML, which nobody asks.
      assert.deepEqual(
        addresses.filter(address => !address.startsWith('http://www.w3.org/')),
        [],
        name,
      );
      if (name.endsWith('.html'))
        assert.doesNotMatch(text, /<script(?! type="module" src="\/assets\/)|<style|style=| on\w+=/);
    }
  });

  it('come with a policy that lets in nothing else, and are kept by what they are', async t => {
    const { url } = await startInbox(t, { loadPages: currentPages });
    const page = await rawRequest(`${url}/`);
    assert.equal(page.status, 200);
    assert.equal(page.headers['cache-control'], 'no-store');
    assert.equal(page.headers['x-content-type-options'], 'nosniff');
    const policy = String(page.headers['content-security-policy']);
    assert.match(policy, /default-src 'none'/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /unsafe|https?:|\*/);
    const files = [...page.body.matchAll(/"(\/assets\/[^"]+)"/g)].map(([, path = '']) => path);
    assert.equal(files.length, 2);
    for (const path of files) {
      const file = await rawRequest(`${url}${path}`, { headers: { 'accept-encoding': 'gzip, deflate, br' } });
      assert.equal(file.headers['content-encoding'], 'br');
      assert.match(String(file.headers['cache-control']), /immutable/);
    }
    assert.equal((await rawRequest(`${url}/assets/inbox.html`)).status, 404);
    assert.equal((await rawRequest(`${url}/assets/..%2f..%2fpackage.json`)).status, 404);
    assert.equal((await rawRequest(`${url}/messages/5ce7200a-ad56-46bf-acb8-629e819448e5`)).body, page.body);
  });

  it('say what to do where they were not built', async t => {
    const { url } = await startInbox(t, { loadPages: async () => new Map() });
    const { status, body } = await rawRequest(`${url}/`);
    assert.equal(status, 503);
    assert.match(body, /node web\/build\.ts/);
  });
});
