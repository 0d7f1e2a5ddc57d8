import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import type { HealthReport } from '../../../src/http/health-report.ts';
import type { FleetView } from '../../../src/http/operator/contract.ts';
import { COUNTED, type CounterName, total } from '../../../src/http/operator/figures.ts';
import { anchorOf, type Evidence, findProblems, type Gauges } from '../../../src/http/operator/problems.ts';

const NOW = Date.UTC(2026, 10, 29);
const DAY = 86_400_000;
const WELL = { ok: true, reasons: [] };
const HEALTH: HealthReport = {
  status: 'ok',
  role: 'worker',
  version: '1.2.3',
  live: WELL,
  ready: WELL,
  configuration: { generation: 1, loadedAt: '2026-11-29T00:00:00Z', lastError: null, restartToApply: [] },
  dependencies: { postgres: { ok: true, latencyMs: 1, checkedAt: '' }, sqs: { ok: true, latencyMs: 1, checkedAt: '' } },
  shutRoutes: [],
  resources: undefined,
};
const GAUGES: Gauges = {
  queueReachable: 1,
  standsStill: 0,
  quotaUsed: 0.5,
  webhooksLate: 0,
  certificateEndsAt: NOW + 60 * DAY,
  unreconciled: 0,
};
const FLEET: FleetView = {
  workers: [],
  liveWorkers: 1,
  inHand: 0,
  held: 0,
  oldestWaiting: 0,
  acceptedPerSecond: 1,
  outcomes: [],
  shutWays: [],
};
const AWAY = { ok: false, latencyMs: 1, checkedAt: '', lastError: { class: 'ECONNREFUSED', at: '' } };

interface Seen {
  readonly role?: Evidence['role'];
  readonly health?: Partial<HealthReport>;
  readonly gauges?: Partial<Gauges>;
  readonly fleet?: Partial<FleetView> | null;
  readonly counts?: Partial<Record<CounterName, Readonly<Record<string, number>>>>;
  readonly quantiles?: Readonly<Record<string, number>>;
  readonly values?: Evidence['sample']['values'];
  readonly recent?: Readonly<Record<string, readonly number[]>>;
}

function evidence(seen: Seen = {}): Evidence {
  const none = total([]);
  const given = Object.entries(seen.counts ?? {}).map(([name, counts]) => [name, new Map(Object.entries(counts))]);
  return {
    role: seen.role ?? 'worker',
    health: { ...HEALTH, ...seen.health },
    gauges: { ...GAUGES, ...seen.gauges },
    fleet: seen.fleet === null ? null : { ...FLEET, ...seen.fleet },
    sample: { at: NOW, values: seen.values ?? {} },
    recorder: {
      counted: () => ({ ...none, counts: { ...none.counts, ...Object.fromEntries(given) } }),
      quantile: name => seen.quantiles?.[name] ?? null,
      recent: name => seen.recent?.[name] ?? [],
    },
    now: NOW,
  };
}

/** What is found, and what makes that so. */
const CASES: readonly (readonly [runbook: string, severity: 'bad' | 'wait', seen: Seen])[] = [
  ['Messages are put off', 'bad', { health: { dependencies: { postgres: AWAY } } }],
  ['The queue cannot be reached', 'bad', { health: { dependencies: { sqs: AWAY } } }],
  ['The queue cannot be reached', 'bad', { gauges: { queueReachable: 0 } }],
  ['Object storage is away', 'bad', { health: { dependencies: { s3: AWAY } } }],
  ['No relay is up', 'bad', { role: 'relay', health: { ready: { ok: false, reasons: ['starting'] } } }],
  ['No worker is up', 'bad', { health: { ready: { ok: false, reasons: ['starting'] } } }],
  ['Messages are put off', 'bad', { counts: { messages: { fault: 1 } } }],
  ['Messages are put off', 'wait', { counts: { messages: { queued: 80, deferred: 20 } } }],
  ['Messages are put off', 'wait', { counts: { refusals: { 'MAIL messages_per_minute': 20, 'DATA key_domain': 90 } } }],
  ['Many messages are refused', 'wait', { counts: { messages: { queued: 70, refused: 30 } } }],
  ['Many log-ins fail', 'wait', { counts: { logins: { failed: 90, refused: 20 } } }],
  ['Clients wait long for the 250', 'wait', { quantiles: { acceptance: 3 } }],
  ['Accepted messages are not passed on', 'wait', { values: { outboxDue: 1, outboxAge: 90 } }],
  ['Accepted messages are not passed on', 'bad', { values: { outboxDue: 9, outboxAge: 400 } }],
  ['No worker is up', 'bad', { role: 'relay', fleet: { liveWorkers: 0 }, values: { outboxDue: 1 } }],
  ['A worker stands still', 'bad', { gauges: { standsStill: 1 } }],
  ['A way out is shut', 'wait', { health: { shutRoutes: [{ route: 'main', reason: 'connect', since: '' }] } }],
  ['A way out is shut', 'wait', { role: 'relay', fleet: { shutWays: ['main'] } }],
  ['Messages are held', 'wait', { fleet: { held: 2 } }],
  ['Sends fail', 'bad', { counts: { sends: { 'ses sent': 70, 'ses transient': 30 } } }],
  ['Messages are delivered late', 'wait', { quantiles: { sendAge: 301 } }],
  ['A message waits for hours', 'wait', { fleet: { oldestWaiting: 5 * 3_600 } }],
  ['SES throttles', 'wait', { counts: { throttled: { 'eu-west-1': 100 } } }],
  ['The daily quota of SES is nearly used up', 'wait', { gauges: { quotaUsed: 0.9 } }],
  ['The daily quota of SES is nearly used up', 'bad', { gauges: { quotaUsed: 0.99 } }],
  ['Webhooks are late', 'wait', { gauges: { webhooksLate: 700 } }],
  ['Webhook deliveries were given up', 'wait', { counts: { deadLetters: { '': 1 } } }],
  ['Opens and clicks are lost', 'wait', { counts: { hits: { dropped: 1 } } }],
  ['The certificate ends soon', 'wait', { gauges: { certificateEndsAt: NOW + 3 * DAY } }],
  ['The certificate ends soon', 'bad', { gauges: { certificateEndsAt: NOW - DAY } }],
  ['A new certificate could not be used', 'wait', { counts: { certificateFailures: { '': 1 } } }],
  [
    'A changed configuration could not be used',
    'wait',
    {
      health: {
        configuration: { generation: 1, loadedAt: '', lastError: { at: '', message: 'x' }, restartToApply: [] },
      },
    },
  ],
  [
    'A changed setting takes a restart',
    'wait',
    { health: { configuration: { generation: 1, loadedAt: '', lastError: null, restartToApply: ['port'] } } },
  ],
  ['Nobody reconciles declared resources', 'wait', { gauges: { unreconciled: 2 } }],
  [
    'A declared object is not ready',
    'wait',
    { health: { resources: { ok: false, reasons: ['1 of 2'] } as unknown as NonNullable<HealthReport['resources']> } },
  ],
  ['Queries wait for a connection', 'wait', { recent: { waiting: [1, 2, 1] } }],
  ['A pod is overloaded', 'wait', { recent: { busy: [0.95, 0.99, 1] } }],
  ['A pod is overloaded', 'wait', { health: { live: { ok: false, reasons: ['it stood still'] } } }],
];

describe('problems on the page', () => {
  it('are none where all is well, also where nobody knows', () => {
    assert.deepEqual(findProblems(evidence()), []);
    const unknown = Object.fromEntries(Object.keys(GAUGES).map(name => [name, null])) as unknown as Gauges;
    assert.deepEqual(findProblems(evidence({ fleet: null, gauges: unknown })), []);
    // A share of very few says nothing.
    assert.deepEqual(
      findProblems(
        evidence({
          counts: { messages: { refused: 3 }, refusals: { 'MAIL connections': 3 }, sends: { 'ses transient': 3 } },
        }),
      ),
      [],
    );
    assert.deepEqual(findProblems(evidence({ recent: { waiting: [4, 0, 4], busy: [0.2, 1, 0.2] } })), []);
  });

  for (const [runbook, severity, seen] of CASES) {
    it(`lead to "${runbook}" (${severity}): ${JSON.stringify(seen)}`, () => {
      const found = findProblems(evidence(seen));
      assert.deepEqual(
        found.map(problem => [problem.runbook, problem.severity]),
        [[runbook, severity]],
      );
      assert.match(found[0]?.detail ?? '', /\S/);
    });
  }

  it('have the gravest first', () => {
    const found = findProblems(evidence({ fleet: { held: 1 }, gauges: { standsStill: 1 } }));
    assert.deepEqual(
      found.map(({ severity }) => severity),
      ['bad', 'wait'],
    );
  });

  it('each have their paragraph in the troubleshooting guide', async () => {
    const guide = await readFile(new URL('../../../docs/troubleshooting.md', import.meta.url), 'utf8');
    const anchors = new Set(Array.from(guide.matchAll(/^#+ (.*)$/gm), ([, heading = '']) => anchorOf(heading)));
    for (const [runbook] of CASES) assert.ok(anchors.has(anchorOf(runbook)), runbook);
    assert.equal(anchorOf('Clients wait long for the 250'), 'clients-wait-long-for-the-250');
  });
});

// A counter that nobody reads any more would go unnoticed.
it('counts nothing that is no metric', async () => {
  const metrics = await readFile(new URL('../../../docs/metrics.md', import.meta.url), 'utf8');
  for (const [name] of Object.values(COUNTED)) assert.ok(metrics.includes(`\`${name}\``), name);
});
