import type pg from 'pg';
import type { LiveConfig } from '../../config/live.ts';
import type { Config } from '../../config/schema.ts';
import type { DeclarationsReport } from '../../declared/report.ts';
import type { Logger } from '../../observability/log.ts';
import type { Registry } from '../../observability/metrics.ts';
import { isForbidden } from '../../postgres/errors.ts';
import { ACCEPTED_WITHIN, type Fleet, readFleet } from '../../store/delivery/fleet.ts';
import { reportInTime } from '../dependency-checks.ts';
import type { HealthReport } from '../health-report.ts';
import type { Declared, FleetView, Overview, Problem, Room, Tally } from './contract.ts';
import { type Counts, type Figures, readGauge, readValues } from './figures.ts';
import { anchorOf, findProblems, type Gauges } from './problems.ts';
import type { Recorder } from './recorder.ts';

export interface OverviewParts {
  readonly role: 'relay' | 'worker';
  readonly version: string;
  /** The process's name among all. */
  readonly id: string;
  readonly live: Pick<LiveConfig, 'current'>;
  readonly pool: pg.Pool;
  readonly registry: Registry;
  readonly logger: Logger;
  readonly report: () => Promise<HealthReport>;
  readonly recorder: Recorder;
}

/** Declared objects that are shown. */
const MOST_OBJECTS = 20;
/** Lines of a tally. */
const MOST_LINES = 12;

/** Makes what the page shows beside its charts. The function returned asks the database once, and waits two seconds at most. */
export function createOverview(parts: OverviewParts): () => Promise<Overview> {
  const { role, version, id, live, pool, registry, report, recorder } = parts;
  const startedAt = new Date(Date.now() - 1_000 * process.uptime()).toISOString();
  const askFleet = reportInTime(() => readFleet(pool).catch(forbidden));
  // OpenSend's tables are its own affair, and have no index for such questions.
  const fleetOf = async (pipeline: Config['pipeline']) => (pipeline === 'standalone' ? askFleet() : null);

  return async () => {
    const config = live.current;
    const { pipeline, operatorPage } = config;
    const [health, known, gauges, rooms] = await Promise.all([
      report(),
      fleetOf(pipeline),
      readGauges(registry),
      readRooms(registry, config, role),
    ]);
    const mayReadFleet = known !== 'forbidden';
    const fleet = known && mayReadFleet ? fleetView(known) : null;
    const sample = recorder.latest;
    const evidence = { role, health, recorder, sample, gauges, fleet, now: Date.now() };
    const problems = findProblems(evidence).map(
      ({ runbook, ...problem }): Problem => ({ ...problem, url: `${operatorPage.guideUrl}#${anchorOf(runbook)}` }),
    );
    const { configuration, dependencies, shutRoutes = [], resources, ready } = health;
    const { certificateEndsAt } = gauges;
    return {
      ...{
        sample,
        role,
        version,
        pipeline,
        id,
        startedAt,
        isReady: ready.ok,
        problems,
        shutRoutes,
        rooms,
        fleet,
        mayReadFleet,
      },
      dependencies: Object.entries(dependencies).map(([name, { ok, latencyMs, lastError = null }]) => ({
        ...{ name, ok, latencyMs, lastError },
      })),
      configuration: {
        generation: configuration?.generation ?? 1,
        loadedAt: configuration?.loadedAt ?? startedAt,
        restartToApply: configuration?.restartToApply ?? [],
      },
      certificateEndsAt: certificateEndsAt === null ? null : new Date(certificateEndsAt).toISOString(),
      tallies: talliesOf(recorder.counted(), role),
      hasSessions: sessionsShown(role, config) !== 'off',
      declared: resources ? declaredView(resources) : null,
    };
  };
}

/** What a refused right comes to. @throws whatever else it is */
function forbidden(error: unknown): 'forbidden' {
  if (isForbidden(error)) return 'forbidden';
  throw error;
}

/** Relays alone read sessions, which they have written: the role of a worker may not. */
export function sessionsShown(role: 'relay' | 'worker', { operatorPage }: Config): Config['operatorPage']['sessions'] {
  return role === 'relay' ? operatorPage.sessions : 'off';
}

async function readGauges(registry: Registry): Promise<Gauges> {
  const gauge = (name: string) => readGauge(registry, name);
  const [queueReachable, standsStill, webhooksLate, endsAt, unreconciled, quotas] = await Promise.all([
    gauge('smtp_relay_publish_reachable'),
    gauge('smtp_relay_worker_stands_still'),
    gauge('smtp_relay_webhook_oldest_due_seconds'),
    gauge('smtp_relay_tls_certificate_expiry_timestamp_seconds'),
    gauge('smtp_relay_resources_unreconciled'),
    readValues(registry, 'smtp_relay_ses_daily_quota_used_ratio'),
  ]);
  const quotaUsed = quotas.length === 0 ? null : Math.max(...quotas.map(({ value }) => value));
  const certificateEndsAt = endsAt === null || endsAt === 0 ? null : 1_000 * endsAt;
  return { queueReachable, standsStill, webhooksLate, quotaUsed, certificateEndsAt, unreconciled };
}

/** What is bounded, and how much of it is taken. */
async function readRooms(registry: Registry, { limits, worker, database }: Config, role: string): Promise<Room[]> {
  const level = async (name: string, labels?: Record<string, string>) => (await readGauge(registry, name, labels)) ?? 0;
  const connections: Room = {
    what: 'Connections to the database',
    bound: 'database.poolSize',
    used: await level('smtp_relay_database_connections', { state: 'used' }),
    most: database.poolSize,
    unit: 'count',
  };
  if (role === 'worker') {
    const inHand = await level('smtp_relay_messages_in_hand');
    const { concurrency } = worker;
    return [
      { what: 'Messages in hand', bound: 'worker.concurrency', used: inHand, most: concurrency, unit: 'count' },
      connections,
      ...(await readQuotas(registry)),
    ];
  }
  const [clients, bytes] = [await level('smtp_relay_connections'), await level('smtp_relay_bytes_in_flight')];
  return [
    { what: 'Client connections', bound: 'limits.connections', used: clients, most: limits.connections, unit: 'count' },
    { what: 'Bytes in flight', bound: 'limits.bytesInFlight', used: bytes, most: limits.bytesInFlight, unit: 'bytes' },
    connections,
  ];
}

/** Of SES, for each region and account. */
async function readQuotas(registry: Registry): Promise<Room[]> {
  const used = await readValues(registry, 'smtp_relay_ses_daily_quota_used_ratio');
  const quotas = await readValues(registry, 'smtp_relay_ses_daily_quota_recipients');
  return quotas.map(({ labels: { region, account }, value: most }) => {
    const ratio = used.find(({ labels }) => labels['region'] === region && labels['account'] === account)?.value ?? 0;
    const what = `Daily quota of SES in ${region}${account === 'default' ? '' : ` (${account})`}`;
    return { what, bound: 'Amazon SES', used: Math.round(ratio * most), most, unit: 'recipients' };
  });
}

type Tone = Tally['rows'][number]['tone'];

const TONES: Readonly<Record<string, Tone>> = {
  ...{ queued: 'good', repeated: 'good', sandbox: 'good', captured: 'good', sent: 'good', success: 'good' },
  ...{ suppressed: 'good', succeeded: 'good', trusted: 'good' },
  ...{ deferred: 'wait', transient: 'wait', retry: 'wait', held: 'wait', timeout: 'wait', unknown: 'wait' },
};

function talliesOf({ counts }: Figures, role: string): Tally[] {
  const { messages, logins, refusals, sends, settled, webhooks } = counts;
  const shown: readonly (readonly [title: string, counts: Counts])[] =
    role === 'relay'
      ? [
          ['Messages', messages],
          ['Not accepted, by step and rule', refusals],
          ['Log-ins', logins],
        ]
      : [
          ['Recipients, by transport and outcome', sends],
          ['Tries of messages', settled],
          ['Tries of webhooks', webhooks],
        ];
  return shown.map(([title, of]) => ({ title, rows: rowsOf([...of]) }));
}

function rowsOf(entries: readonly (readonly [what: string, count: number])[]): Tally['rows'] {
  const rows = entries.map(([what, count]) => ({ what, count, tone: TONES[what.split(' ').at(-1) ?? ''] ?? 'bad' }));
  return rows.sort((a, b) => b.count - a.count).slice(0, MOST_LINES);
}

/** @param isStandalone beside OpenSend there are no workers of ours, and no tables that count */
function fleetView({ accepted, outcomes, workers, ...fleet }: Fleet): FleetView {
  return {
    ...fleet,
    workers: workers.map(worker => ({ ...worker, startedAt: worker.startedAt.toISOString() })),
    acceptedPerSecond: accepted / ACCEPTED_WITHIN,
    outcomes: rowsOf(outcomes.map(({ transport, outcome, count }) => [`${transport} ${outcome}`, count])),
  };
}

function declaredView({ total, ready, leader, reasons, objects, omitted }: DeclarationsReport): Declared {
  const shown = objects.slice(0, MOST_OBJECTS);
  return {
    ...{ total, ready, leader, reasons },
    objects: shown.map(({ ready: isReady, lastTransitionTime: since, kind, name, reason, message }) => ({
      ...{ kind, name, isReady: isReady === 'True', reason, message, since },
    })),
    omitted: omitted + objects.length - shown.length,
  };
}
