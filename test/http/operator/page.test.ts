import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { currentPages } from '../../../dev/pages.ts';
import { freePort } from '../../../dev/ports.ts';
import { fixedConfig } from '../../../src/config/live.ts';
import { assembleConfig } from '../../../src/config/schema.ts';
import { beat } from '../../../src/store/delivery/workers.ts';
import { createDatabase } from '../../support/database.ts';
import { eventually } from '../../support/eventually.ts';
import { openPool } from '../../support/pool.ts';
import { startRelay, type TestContext } from '../../support/relay.ts';
import { SmtpClient } from '../../support/smtp-client.ts';
import { startWorker } from '../../support/worker.ts';
import { openOperational } from '../support/listeners.ts';
import { followEvents, overviewThat } from './support.ts';

const STANDALONE = { pipeline: 'standalone', transport: 'capture', httpHost: '127.0.0.1' } as const;

/** A page on a database of its own, whose samples come quickly. `asked` has the statements that the database got. */
async function openPage(t: TestContext, settings: Readonly<Record<string, unknown>> = {}) {
  const databaseUrl = await createDatabase(t, { pipeline: 'standalone' });
  const db = openPool(databaseUrl, 2);
  t.after(() => db.end());
  const asked: string[] = [];
  const pool = new Proxy(db, {
    get(target, name) {
      if (name !== 'query') return Reflect.get(target, name);
      return (text: string, values: unknown[]) => {
        asked.push(text);
        return target.query(text, values);
      };
    },
  });
  const live = fixedConfig(
    assembleConfig(new Map(Object.entries({ databaseUrl, ...STANDALONE, ...settings }) as never)),
  );
  const page = { live, pool, id: 'a-relay', loadPages: currentPages, interval: 100 };
  return { ...(await openOperational(t, { page })), db, asked };
}

describe("the operator's page", () => {
  it('tells what relay and worker do, and what the installation does, and nothing that lets anybody in', async t => {
    const [port, workerPort] = [await freePort(), await freePort()];
    const relay = await startRelay(t, { settings: { ...STANDALONE, httpPort: port }, loadPages: currentPages });
    const { databaseUrl, queue } = relay;
    const worker = await startWorker(t, { databaseUrl, queue, settings: { httpPort: workerPort } });
    const next = await followEvents(t, `http://127.0.0.1:${port}`);
    const { event, data: history } = await next();
    assert.deepEqual([event, history.interval, history.most], ['history', 5_000, 180]);
    const client = await SmtpClient.loggedIn(t, relay);
    await client.transact(
      { from: 'shop@acme.test', to: ['ada@example.com'], data: 'From: shop@acme.test\r\n\r\nHi' },
      '250 ',
    );
    await eventually(async () => (await worker.captured()).length === 1);
    const overview = await overviewThat(next, ({ tallies }) => tallies[0]?.rows.some(row => row.count === 1) ?? false);
    assert.deepEqual([overview.role, overview.pipeline, overview.isReady], ['relay', 'standalone', true]);
    assert.deepEqual(
      overview.dependencies.map(({ name, ok }) => [name, ok]),
      [
        ['postgres', true],
        ['sqs', true],
      ],
    );
    assert.equal(overview.fleet?.liveWorkers, 1);
    assert.ok(Date.parse(overview.certificateEndsAt ?? '') > Date.now());
    assert.deepEqual(
      overview.rooms.map(({ used, most }) => used <= most),
      [true, true, true],
    );
    const text = JSON.stringify(overview);
    for (const secret of [relay.owner.apiKey, 'ada@example.com', 'acme.test', databaseUrl, '127.0.0.1'])
      assert.ok(!text.includes(secret), secret);
    const ofWorker = await followEvents(t, `http://127.0.0.1:${workerPort}`);
    // The capture is there before its outcome is counted.
    const other = await overviewThat(ofWorker, ({ fleet }) => (fleet?.outcomes.length ?? 0) > 0);
    assert.deepEqual(
      [other.role, other.fleet?.outcomes],
      ['worker', [{ what: 'capture sent', count: 1, tone: 'good' }]],
    );
    // Whoever follows keeps neither from stopping.
    await Promise.all([relay.stop(), worker.stop()]);
  });

  it('asks the database once a sample however many look, and not at all while nobody does', async t => {
    const { url, asked, db } = await openPage(t);
    await beat(db, 'a-worker');
    assert.equal((await fetch(url)).status, 200);
    assert.deepEqual(asked, []);
    const first = await followEvents(t, url);
    await overviewThat(first, ({ fleet }) => fleet?.workers[0]?.id === 'a-worker');
    const others = await Promise.all([1, 2, 3, 4].map(() => followEvents(t, url)));
    await Promise.all(others.map(next => overviewThat(next, () => true)));
    asked.length = 0;
    const seen = new Set<number>();
    while (seen.size < 6) seen.add((await overviewThat(first, () => true)).sample.at);
    assert.ok(asked.length <= 8, `${asked.length} statements in 6 samples`);
  });

  it('is a page with a strict policy, and files of its own', async t => {
    const { url } = await openPage(t);
    const page = await fetch(url);
    assert.equal(page.status, 200);
    assert.match(page.headers.get('content-type') ?? '', /text\/html/);
    const policy = page.headers.get('content-security-policy') ?? '';
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe|https?:|\*/);
    for (const name of ['x-content-type-options', 'cross-origin-resource-policy', 'referrer-policy'])
      assert.ok(page.headers.get(name), name);
    const files = [...(await page.text()).matchAll(/"(\/assets\/[^"]+)"/g)].map(([, path = '']) => path);
    assert.equal(files.length, 2);
    for (const path of files) assert.equal((await fetch(url + path)).status, 200, path);
    for (const [method, path] of [
      ['POST', '/'],
      ['POST', '/live'],
      ['GET', '/assets/operator.html'],
      ['GET', '/assets/..%2fx'],
    ] as const)
      assert.equal((await fetch(url + path, { method })).status, 404, path);
  });

  it('lets in so many viewers that probes and scrapes always find a connection', async t => {
    const { url } = await openPage(t);
    const viewers = await Promise.all(Array.from({ length: 20 }, () => followEvents(t, url)));
    const refused = await fetch(`${url}/live`);
    assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '30']);
    for (const path of ['/livez', '/readyz', '/healthz', '/metrics'])
      assert.equal((await fetch(url + path)).status, 200);
    assert.equal((await viewers[19]?.())?.event, 'history');
  });

  it('goes on without a database, and says so', async t => {
    const { url, db } = await openPage(t);
    await db.end();
    t.mock.method(db, 'end', async () => {});
    const { fleet, role } = await overviewThat(await followEvents(t, url), () => true);
    assert.deepEqual([fleet, role], [null, 'relay']);
  });

  it("leaves OpenSend's tables alone, and says whose worker delivers", async t => {
    const { url, asked } = await openPage(t, { pipeline: 'opensend' });
    const { fleet, pipeline, mayReadFleet } = await overviewThat(await followEvents(t, url), () => true);
    assert.deepEqual([fleet, pipeline, mayReadFleet], [null, 'opensend', true]);
    assert.deepEqual(
      asked.filter(text => /emails/.test(text)),
      [],
    );
  });

  it('is not there where it is switched off, and probes and metrics are', async t => {
    const port = await freePort();
    await startRelay(t, { settings: { ...STANDALONE, httpPort: port, 'operatorPage.enabled': false }, queue: false });
    const url = `http://127.0.0.1:${port}`;
    for (const path of ['/', '/live', '/assets/x.js']) assert.equal((await fetch(url + path)).status, 404, path);
    for (const path of ['/readyz', '/healthz', '/metrics']) assert.equal((await fetch(url + path)).status, 200, path);
  });
});
