import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { load } from '../config/support/fixtures.ts';
import { rawRequest, startInbox } from './inbox.ts';

const TOKEN = 'a-token-that-nobody-guesses';

describe('an inbox without a token', () => {
  it('answers to names of this machine only, so that no name of a stranger leads to it', async t => {
    const { url } = await startInbox(t);
    const port = new URL(url).port;
    for (const host of ['localhost', '127.0.0.1', '[::1]', 'my-app.localhost', 'LOCALHOST'])
      assert.equal(
        (await rawRequest(`${url}/api/messages`, { headers: { host: `${host}:${port}` } })).status,
        200,
        host,
      );
    for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', '10.0.0.1', '']) {
      const { status, body } = await rawRequest(`${url}/api/messages`, { headers: { host: `${host}:${port}` } });
      assert.equal(status, 403, host);
      assert.match(JSON.parse(body).error, /inbox\.token/);
    }
  });

  it('lets no other site change anything, or read along', async t => {
    const { url } = await startInbox(t);
    const origin = url;
    const remove = (headers: Record<string, string>) =>
      rawRequest(`${url}/api/messages`, { method: 'DELETE', headers }).then(({ status }) => status);
    assert.equal(await remove({}), 200);
    assert.equal(await remove({ origin, 'sec-fetch-site': 'same-origin' }), 200);
    assert.equal(await remove({ origin: 'http://evil.example' }), 403);
    assert.equal(await remove({ origin: 'null' }), 403);
    assert.equal(await remove({ origin: 'http://localhost:1' }), 403);
    assert.equal(await remove({ 'sec-fetch-site': 'cross-site' }), 403);
    const read = (headers: Record<string, string>) =>
      rawRequest(`${url}/`, { headers: { 'sec-fetch-site': 'cross-site', ...headers } }).then(({ status }) => status);
    assert.equal(await read({ 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'script' }), 403);
    assert.equal(await read({ 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' }), 403);
    assert.notEqual(
      await read({ 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }),
      403,
      'a link leads here',
    );
  });
});

describe('an inbox with a token', () => {
  it('asks browsers for it, and keeps it in a cookie that scripts cannot read', async t => {
    const { url } = await startInbox(t, { settings: { 'inbox.token': TOKEN } });
    const page = await rawRequest(`${url}/messages/x`, { headers: { accept: 'text/html' } });
    assert.equal(page.status, 303);
    assert.equal(page.headers['location'], '/login');
    const login = (token: string) =>
      rawRequest(`${url}/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', origin: url },
        body: new URLSearchParams({ token }).toString(),
      });
    const wrong = await login(`${TOKEN}x`);
    assert.equal(wrong.headers['location'], '/login?wrong');
    assert.equal(wrong.headers['set-cookie'], undefined);
    const right = await login(TOKEN);
    assert.equal(right.headers['location'], '/');
    const [field = ''] = right.headers['set-cookie'] ?? [];
    assert.match(field, /HttpOnly; SameSite=Lax/);
    const [cookie = ''] = field.split(';');
    assert.ok(!cookie.includes(TOKEN));
    assert.equal((await rawRequest(`${url}/api/messages`, { headers: { cookie } })).status, 200);
    const other = `${cookie.slice(0, -1)}${cookie.endsWith('A') ? 'B' : 'A'}`;
    assert.equal((await rawRequest(`${url}/api/messages`, { headers: { cookie: other } })).status, 401);
    const foreign = { cookie, origin: 'http://evil.example' };
    assert.equal((await rawRequest(`${url}/api/messages`, { method: 'DELETE', headers: foreign })).status, 403);
  });

  it('takes it of programs, by whatever name they reach it', async t => {
    const { url } = await startInbox(t, { settings: { 'inbox.token': TOKEN } });
    const read = (headers: Record<string, string>) => rawRequest(`${url}/api/messages`, { headers });
    assert.equal((await read({ authorization: `Bearer ${TOKEN}`, host: 'inbox.staging.example' })).status, 200);
    assert.equal((await read({ authorization: `bearer ${TOKEN}` })).status, 200);
    for (const authorization of ['Bearer ', `Bearer ${TOKEN}x`, `Basic ${TOKEN}`, `Bearer ${TOKEN} ${TOKEN}`]) {
      const { status, body } = await read({ authorization });
      assert.equal(status, 401, authorization);
      assert.match(JSON.parse(body).error, /Bearer/);
    }
  });
});

describe('the configuration of the inbox', () => {
  const BASE = { SMTP_RELAY_PIPELINE: 'standalone', SMTP_RELAY_TRANSPORT: 'capture', SMTP_RELAY_INBOX_ENABLED: 'true' };
  const refused = (env: Record<string, string>, why: RegExp) => assert.throws(() => load({ ...BASE, ...env }), why);

  it('is off unless asked for', () => {
    assert.equal(load({}).config.inbox.enabled, false);
    assert.equal(load(BASE).config.inbox.enabled, true);
  });

  it('is refused where others reach it without a token', () => {
    refused({ SMTP_RELAY_INBOX_HOST: '0.0.0.0' }, /inbox\.host.*inbox\.token/s);
    refused({ SMTP_RELAY_INBOX_HOST: '0.0.0.0', SMTP_RELAY_INBOX_TOKEN: 'short' }, /at least 16/);
    const { config } = load({ ...BASE, SMTP_RELAY_INBOX_HOST: '0.0.0.0', SMTP_RELAY_INBOX_TOKEN: TOKEN });
    assert.equal(config.inbox.host, '0.0.0.0');
  });
});
