import assert from 'node:assert/strict';
import { describe, it, type TestContext as NodeTestContext } from 'node:test';
import { currentPages } from '../../../dev/pages.ts';
import { freePort } from '../../../dev/ports.ts';
import type { RefusedSubjects, SessionStory } from '../../../src/http/sessions/contract.ts';
import { createKey, revokeKey } from '../../../src/store/keys/api-keys.ts';
import { type KeptSession, writeSessions } from '../../../src/store/sessions/sessions.ts';
import { cliFor } from '../../cli/run-cli.ts';
import { eventually } from '../../support/eventually.ts';
import { type RelayOptions, startRelay, type TestContext, type TestRelay } from '../../support/relay.ts';
import { SmtpClient } from '../../support/smtp-client.ts';
import { startWorker } from '../../support/worker.ts';

const STANDALONE = { pipeline: 'standalone', transport: 'capture', httpHost: '127.0.0.1' } as const;

async function startWithPage(t: TestContext, settings: RelayOptions['settings'] = {}) {
  const httpPort = await freePort();
  const relay = await startRelay(t, {
    settings: { ...STANDALONE, httpPort, ...settings },
    loadPages: currentPages,
    queue: false,
  });
  return { relay, url: `http://127.0.0.1:${httpPort}` };
}

async function get<T>(url: string): Promise<T> {
  const response = await fetch(url);
  assert.equal(response.status, 200, `${url}: ${await response.clone().text()}`);
  assert.equal(response.headers.get('cache-control'), 'no-store');
  assert.equal(response.headers.get('cross-origin-resource-policy'), 'same-origin');
  return (await response.json()) as T;
}

/** The list, once it is as wanted. */
function listThat(url: string, isWanted: (list: RefusedSubjects) => boolean): Promise<RefusedSubjects> {
  return eventually(async () => {
    const list = await get<RefusedSubjects>(`${url}/sessions`);
    return isWanted(list) && list;
  }) as Promise<RefusedSubjects>;
}

function sessionOf(subject: string, id: string, seconds: number, clientAddress = '198.51.100.23'): KeptSession {
  const at = new Date(Date.now() - 1_000 * seconds);
  const [step, rule, reply] = ['auth', 'auth', '535 5.7.8 Authentication failed'] as const;
  return {
    ...{ id, subject, clientAddress, pod: 'a-relay', beganAt: at, lastAt: at, step, rule, reply, refusals: 1 },
    lines: [[0, 'C', 'EHLO [198.51.100.23]']],
  };
}

async function refuseSomething(t: NodeTestContext, relay: TestRelay): Promise<void> {
  const client = await SmtpClient.loggedIn(t, relay);
  await client.command('MAIL FROM:<shop@elsewhere.test>', '250 ');
  await client.command('RCPT TO:<ann@example.com>', '250 ');
  await client.command('DATA', '354 ');
  await client.command('From: shop@elsewhere.test\r\nSubject: Hush\r\n\r\nSecret\r\n.', '550 5.7.1 ');
}

describe("sessions on the operator's page", () => {
  it('are told of by key, with the reason that the command gives, and without who wrote to whom', async t => {
    const { relay, url } = await startWithPage(t);
    await refuseSomething(t, relay);
    const { subjects, isMasked, kept } = await listThat(url, ({ subjects: [first] }) => first !== undefined);
    assert.deepEqual([isMasked, kept], [true, 86_400_000]);
    const [{ rows }] = [await relay.db.query('select name from api_keys where id = $1', [relay.owner.keyId])];
    assert.deepEqual(
      subjects.map(({ kind, name, sessions }) => [kind, name, sessions]),
      [['key', rows[0].name, 1]],
    );
    const session = subjects[0]?.newest[0];
    const cli = await cliFor(relay.databaseUrl).json('sessions', 'show', session?.id ?? '');
    for (const part of ['why', 'change', 'rule', 'step', 'refusals'] as const) assert.equal(session?.[part], cli[part]);
    const story = await get<SessionStory>(`${url}/sessions/${session?.id}`);
    const texts = story.lines.map(([, by, text]) => `${by} ${text}`);
    assert.ok(texts.includes('C MAIL FROM:<***@elsewhere.test>'), texts.join('\n'));
    assert.ok(texts.includes('C RCPT TO:<***@example.com>'));
    for (const hidden of ['shop@', 'ann@', 'Hush', 'Secret', relay.owner.apiKey])
      assert.ok(!JSON.stringify({ subjects, story }).includes(hidden), hidden);
  });

  it('name addresses by their network, unless all of it is to be seen', async t => {
    const { relay, url } = await startWithPage(t);
    await writeSessions(relay.db, [
      sessionOf('198.51.100.23', 's1', 1),
      sessionOf('2001:db8:1:2::/64', 's2', 2, '2001:db8:1:2::9'),
      sessionOf('10.0.0.9', 's3', 3, '10.0.0.9'),
    ]);
    const { subjects } = await get<RefusedSubjects>(`${url}/sessions`);
    assert.deepEqual(
      subjects.map(({ kind, name }) => [kind, name]),
      [
        ['address', '198.51.100.0/24'],
        ['address', '2001:db8:1::/48'],
        ['address', '10.0.0.9'],
      ],
    );
    assert.ok(!JSON.stringify([subjects, await get(`${url}/sessions/s1`)]).includes('100.23'));
    const full = await startRelayBeside(t, relay, { 'operatorPage.sessions': 'full' });
    const whole = await get<RefusedSubjects>(`${full}/sessions`);
    assert.deepEqual([whole.isMasked, whole.subjects[0]?.name], [false, '198.51.100.23']);
    assert.deepEqual((await get<SessionStory>(`${full}/sessions/s1`)).lines, [[0, 'C', 'EHLO [198.51.100.23]']]);
  });

  it('of very many strangers leave keys their place, and of one there are the newest', async t => {
    const { relay, url } = await startWithPage(t);
    const key = await createKey(relay.db, { name: 'Billing', owner: 'acme' });
    const gone = await createKey(relay.db, { name: 'Old', owner: 'acme' });
    const strangers = Array.from({ length: 50 }, (_, nth) => sessionOf(`10.0.1.${nth}`, `x${nth}`, nth));
    const own = Array.from({ length: 8 }, (_, nth) => sessionOf(key.id, `k${nth}`, 100 + nth));
    await writeSessions(relay.db, [...strangers, ...own, sessionOf(gone.id, 'g', 200)]);
    await revokeKey(relay.db, gone.id);
    const { subjects } = await get<RefusedSubjects>(`${url}/sessions`);
    assert.equal(subjects.filter(({ kind }) => kind === 'address').length, 30);
    const [billing, old] = subjects.slice(-2);
    assert.deepEqual([billing?.name, billing?.sessions], ['Billing', 8]);
    assert.deepEqual(
      billing?.newest.map(({ id }) => id),
      ['k0', 'k1', 'k2', 'k3', 'k4'],
    );
    assert.match(old?.name ?? '', /no such key any more/);
  });

  it('are not there where that is switched off, on a worker, or where none is kept; and the database may be away', async t => {
    const { relay, url } = await startWithPage(t, { 'sessions.kept': 0 });
    assert.deepEqual(await get(`${url}/sessions`), { isMasked: true, kept: 0, subjects: [] });
    assert.equal((await fetch(`${url}/sessions/unknown`)).status, 404);
    const off = await startRelayBeside(t, relay, { 'operatorPage.sessions': 'off' });
    assert.equal((await fetch(off)).status, 200);
    for (const path of ['/sessions', '/sessions/s1']) assert.equal((await fetch(off + path)).status, 404, path);
    const workerPort = await freePort();
    await startWorker(t, { databaseUrl: relay.databaseUrl, settings: { httpPort: workerPort } });
    assert.equal((await fetch(`http://127.0.0.1:${workerPort}/sessions`)).status, 404);
    await relay.db.query('alter table smtp_relay_sessions rename to smtp_relay_sessions_gone');
    for (const path of ['/sessions/s1', '/sessions']) {
      const answer = await eventually(async () => {
        const response = await fetch(url + path);
        return response.status === 503 && response.text();
      });
      assert.match(String(answer), /"error":"The database does not tell/);
    }
  });
});

/** A further relay on the same database. @returns where its page is */
async function startRelayBeside(t: TestContext, shareWith: TestRelay, settings: RelayOptions['settings']) {
  const httpPort = await freePort();
  await startRelay(t, {
    settings: { ...STANDALONE, httpPort, ...settings },
    loadPages: currentPages,
    shareWith,
    queue: false,
  });
  return `http://127.0.0.1:${httpPort}`;
}
