import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { watchEventLoop } from '../../src/http/event-loop-watch.ts';
import type { Condition } from '../../src/http/health-report.ts';
import { openOperational } from './support/listeners.ts';

const WELL: Condition = { ok: true, reasons: [] };

/** Whether it comes long before the eight seconds are over that a probe may wait. */
function comesSoon(promise: Promise<unknown>): Promise<boolean> {
  return Promise.race([promise.then(() => true), sleep(7_000, false, { ref: false })]);
}

describe('the operational listener', () => {
  it('says whether the process is ready, and why not', async t => {
    let ready: Condition = { ok: false, reasons: ['not listening yet'] };
    const { url } = await openOperational(t, { checks: { ready: () => ready, dependencies: {} } });
    const early = await fetch(`${url}/readyz`);
    assert.deepEqual([early.status, await early.json()], [503, ready]);
    ready = WELL;
    const late = await fetch(`${url}/readyz`);
    assert.deepEqual([late.status, await late.json()], [200, WELL]);
    assert.equal(late.headers.get('cache-control'), 'no-store');
  });

  it('lets a startup probe wait until the process is ready', async t => {
    let ready: Condition = { ok: false, reasons: ['not listening yet'] };
    const { url } = await openOperational(t, { checks: { ready: () => ready, dependencies: {} } });
    let answered = false;
    const waiting = fetch(`${url}/livez?wait=8`).finally(() => {
      answered = true;
    });
    await sleep(300);
    assert.equal(answered, false);
    ready = WELL;
    assert.ok(await comesSoon(waiting));
    assert.equal((await waiting).status, 200);
    assert.ok(await comesSoon(fetch(`${url}/livez?wait=8`)));
  });

  it('says that a process lives which does not become ready, after the wait', async t => {
    const ready: Condition = { ok: false, reasons: ['the database is away'] };
    const { url } = await openOperational(t, { checks: { ready: () => ready, dependencies: {} } });
    const began = performance.now();
    assert.equal((await fetch(`${url}/livez?wait=1`)).status, 200);
    assert.ok(performance.now() - began >= 990);
    for (const wait of ['', '?wait=', '?wait=-1', '?wait=1e9', '?wait=0x9', '?wait=8&wait=8']) {
      const answer = fetch(`${url}/livez${wait}`);
      assert.ok(await comesSoon(answer), wait);
      assert.equal((await answer).status, 200, wait);
    }
  });

  it('keeps no process from stopping that is still waited for', async t => {
    const ready: Condition = { ok: false, reasons: ['not listening yet'] };
    const { url, listener } = await openOperational(t, { checks: { ready: () => ready, dependencies: {} } });
    const waiting = fetch(`${url}/livez?wait=8`);
    await sleep(100);
    assert.ok(await comesSoon(listener.close()));
    assert.equal((await waiting).status, 200);
  });

  it('reports dependencies, and is neither dead nor unready for their sake', async t => {
    const refuse = () => Promise.reject(Object.assign(new Error('connect to db.internal'), { code: 'ECONNREFUSED' }));
    const dependencies = { postgres: refuse, sqs: async () => {} };
    const { url } = await openOperational(t, { checks: { ready: () => WELL, dependencies } });
    const response = await fetch(`${url}/healthz`);
    const text = await response.text();
    const report = JSON.parse(text);
    assert.deepEqual([response.status, report.status, report.ready.ok, report.live.ok], [200, 'degraded', true, true]);
    assert.deepEqual([report.dependencies.postgres.ok, report.dependencies.sqs.ok], [false, true]);
    assert.equal(report.dependencies.postgres.lastError.class, 'ECONNREFUSED');
    assert.equal(typeof report.dependencies.sqs.latencyMs, 'number');
    assert.doesNotMatch(text, /db\.internal/);
    assert.deepEqual([report.role, report.version], ['relay', '1.2.3']);
    for (const path of ['/livez', '/readyz']) assert.equal((await fetch(url + path)).status, 200, path);
  });

  it('shows null for resources that cannot be read in time, and does not read them again meanwhile', async t => {
    let reads = 0;
    const resources = () => {
      reads += 1;
      return new Promise<never>(() => {});
    };
    const { url } = await openOperational(t, { checks: { ready: () => WELL, dependencies: {}, resources } });
    const look = async () =>
      (await (await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(60_000) })).json()) as Record<
        string,
        unknown
      >;
    for (const report of await Promise.all([look(), look()])) {
      assert.deepEqual([report['status'], report['resources']], ['ok', null]);
    }
    assert.equal(reads, 1);
  });

  it('serves metrics of the process in the format of Prometheus', async t => {
    const { url } = await openOperational(t);
    const response = await fetch(`${url}/metrics`);
    const text = await response.text();
    assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
    assert.match(text, /^smtp_relay_build_info\{version="1\.2\.3",role="relay",node="24[^"]*"\} 1$/m);
    for (const name of ['process_resident_memory_bytes', 'nodejs_eventloop_lag_seconds']) {
      assert.match(text, new RegExp(`^${name} \\d`, 'm'));
    }
  });

  it('answers HEAD, and nothing else', async t => {
    const { url } = await openOperational(t);
    const head = await fetch(`${url}/livez`, { method: 'HEAD' });
    assert.deepEqual([head.status, await head.text()], [200, '']);
    assert.equal((await fetch(`${url}/livez`, { method: 'POST' })).status, 405);
    assert.equal((await fetch(`${url}/t/o/x`)).status, 404);
  });

  it('says which port is taken, and which variable sets another', async t => {
    const { port } = await openOperational(t);
    await assert.rejects(openOperational(t, { port }), /port is taken.*SMTP_RELAY_HTTP_PORT/);
  });

  it('fails /livez for a while after the event loop stood still for too long', async t => {
    let now = 0;
    const eventLoop = watchEventLoop({ now: () => now });
    const { url } = await openOperational(t, { eventLoop });
    now += 9_000;
    assert.equal((await fetch(`${url}/livez`)).status, 200);
    now += 10_500;
    const failed = await fetch(`${url}/livez`);
    assert.deepEqual(
      [failed.status, await failed.json()],
      [503, { ok: false, reasons: ['the event loop stood still for 10.5 s'] }],
    );
    now += 9_000;
    assert.equal((await fetch(`${url}/livez`)).status, 503);
    now += 2_000;
    assert.equal((await fetch(`${url}/livez`)).status, 200);
  });

  it('notices a real standstill', async t => {
    const { url } = await openOperational(t, { eventLoop: watchEventLoop({ limit: 2_000 }) });
    assert.equal((await fetch(`${url}/livez`)).status, 200);
    const request = fetch(`${url}/livez`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_500);
    assert.equal((await request).status, 503);
  });
});
