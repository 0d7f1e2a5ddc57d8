import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { freePort } from '../../dev/ports.ts';
import { createDeclarationMetrics } from '../../src/declared/metrics.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { runInProcess } from '../cli/run-cli.ts';
import { eventually } from '../support/eventually.ts';
import { startRelay } from '../support/relay.ts';
import { createFolder, document } from './support.ts';

const DECLARED = `
  insert into smtp_relay_declared (kind, name, hash, ready, reason, message)
  values ('SmtpCredential', 'billing', 'x', true, 'Applied', '')`;

interface Answer {
  readonly status: string;
  readonly resources?: {
    readonly ok: boolean;
    readonly reasons: readonly string[];
    readonly unreconciled: { readonly count: number; readonly since: string | null } | null;
  };
}

async function startOn(t: Parameters<typeof startRelay>[0], settings: Record<string, unknown>, prepare: string[]) {
  const first = await startRelay(t, { queue: false });
  for (const sql of prepare) await first.db.query(sql);
  const http = { httpHost: '127.0.0.1', httpPort: await freePort() };
  const relay = await startRelay(t, { queue: false, shareWith: first, settings: { ...http, ...settings } });
  const get = (path: string) => fetch(`http://127.0.0.1:${http.httpPort}${path}`);
  return {
    relay,
    probe: async (path: string) => (await get(path)).status,
    health: async () => (await (await get('/healthz')).json()) as Answer,
    metrics: async () => (await get('/metrics')).text(),
    list: (...args: string[]) => runInProcess(['resources', 'list', ...args], { DATABASE_URL: relay.databaseUrl }),
  };
}

describe('declared objects that nobody reconciles', () => {
  it('are told of at the start, in the report, by the metric and by list; and the process takes work all the same', async t => {
    const stopped = "update smtp_relay_leases set holder = 'gone', until = '2026-01-02T03:04:05Z'";
    const { relay, probe, health, metrics, list } = await startOn(t, {}, [DECLARED, stopped]);
    const line = await eventually(() => relay.logs.find(({ objects }) => objects === 1));
    assert.equal(line?.level, 40);
    assert.match(String(line?.msg), /nobody compares them.*resources\.directory/);
    const { status, resources } = await health();
    assert.equal(status, 'degraded');
    assert.deepEqual(resources?.unreconciled, { count: 1, since: '2026-01-02T03:04:05.000Z' });
    assert.match(resources?.reasons.join() ?? '', /nobody compares 1 declared object .* since 2026-01-02T03:04:05/);
    assert.match(await metrics(), /^smtp_relay_resources_unreconciled 1$/m);
    assert.deepEqual([await probe('/livez'), await probe('/readyz')], [200, 200]);
    const shown = await list();
    assert.match(shown.stderr, /Nobody has compared them with their documents since 2026-01-02T03:04:05/);
    assert.equal(JSON.parse((await list('--json')).stdout)[0].unreconciledSince, '2026-01-02T03:04:05.000Z');
  });

  it('are told of too where nobody ever reconciled them', async t => {
    const { health } = await startOn(t, {}, [DECLARED]);
    assert.equal((await health()).resources?.unreconciled?.since, null);
  });

  it('are well where documents are applied by hand only', async t => {
    const { relay, health, metrics } = await startOn(t, { 'resources.byHand': true }, [DECLARED]);
    assert.equal((await health()).status, 'ok');
    assert.match(await metrics(), /^smtp_relay_resources_unreconciled 0$/m);
    assert.ok(!relay.logs.some(({ objects }) => objects === 1));
  });

  it('are well while another process has the lease', async t => {
    const held = "update smtp_relay_leases set holder = 'pod', until = now() + interval '1 hour'";
    const { health, list } = await startOn(t, {}, [DECLARED, held]);
    assert.equal((await health()).status, 'ok');
    assert.equal((await list()).stderr, '');
  });

  it('are none where nothing is declared, of which nothing is said', async t => {
    const { health } = await startOn(t, {}, []);
    assert.deepEqual([(await health()).status, (await health()).resources], ['ok', undefined]);
  });
});

describe('declared objects that are not ready', () => {
  it('make the report degraded, which names them, and so does the metric', async t => {
    const good = document('SendingDomain', 'good', { owner: 'acme', name: 'good.test' });
    const bad = document('SendingDomain', 'bad', { owner: 'acme', name: 'bad.test', colour: 1 });
    const folder = await createFolder(t, { 'a.yaml': good + bad });
    const settings = { 'resources.directory': folder.path, 'resources.interval': 1_000 };
    const { probe, health, metrics } = await startOn(t, settings, []);
    await eventually(async () => (await health()).resources?.reasons.length);
    const { status, resources } = await health();
    assert.equal(status, 'degraded');
    assert.match(resources?.reasons.join() ?? '', /1 of 2 declared objects not ready: SendingDomain\/bad \(Invalid\)/);
    // The report reads the database, the metric is set at the end of the pass.
    await eventually(async () =>
      /^smtp_relay_resources_not_ready\{kind="SendingDomain",name="bad"\} 1$/m.test(await metrics()),
    );
    assert.equal(await probe('/livez'), 200);
    await folder.write('a.yaml', good);
    await eventually(async () => (await health()).status === 'ok');
    await eventually(async () => !/^smtp_relay_resources_not_ready\{/m.test(await metrics()));
  });

  it('are named twenty at most', async () => {
    const registry = createRegistry();
    const metrics = createDeclarationMetrics(registry);
    const objects = Array.from({ length: 50 }, (_, index) => ({ kind: 'Route', name: `r${index}`, ready: false }));
    metrics.passed(1, objects);
    const text = await registry.metrics();
    assert.equal(text.match(/^smtp_relay_resources_not_ready\{/gm)?.length, 20);
    metrics.leads(false);
    assert.doesNotMatch(await registry.metrics(), /^smtp_relay_resources_not_ready\{/m);
  });
});
