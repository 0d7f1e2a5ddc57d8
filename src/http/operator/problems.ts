import type { DependencyReport } from '../dependency-checks.ts';
import type { HealthReport } from '../health-report.ts';
import type { FleetView, Problem, Sample } from './contract.ts';
import { type CounterName, sum } from './figures.ts';
import type { Recorder } from './recorder.ts';

/** What gauges say, beside the samples; null where this process has no such metric, or does not know. */
export interface Gauges {
  /** 0 where the last call to the queue failed. */
  readonly queueReachable: number | null;
  /** 1 where the database refuses what sending needs. */
  readonly standsStill: number | null;
  /** The largest share of SES's daily quota that is used, of all accounts and regions. */
  readonly quotaUsed: number | null;
  /** Seconds for which the first webhook delivery has been due. */
  readonly webhooksLate: number | null;
  /** Milliseconds since 1970. */
  readonly certificateEndsAt: number | null;
  readonly unreconciled: number | null;
}

export interface Evidence {
  readonly role: 'relay' | 'worker';
  readonly health: HealthReport;
  readonly recorder: Pick<Recorder, 'recent' | 'counted' | 'quantile'>;
  readonly sample: Sample;
  readonly gauges: Gauges;
  readonly fleet: FleetView | null;
  readonly now: number;
}

/** A problem before its address: `runbook` is a heading of docs/troubleshooting.md. */
export interface Found extends Pick<Problem, 'severity' | 'title' | 'detail'> {
  readonly runbook: string;
}

type Rule = (evidence: Evidence) => Found | null;

const MINUTE = 60_000;
const QUARTER = 15 * MINUTE;
/** After which mail servers tell a sender that a message is late (Postfix: `delay_warning_time`). */
const HOURS_TO_WAIT = 4;
/** Fewer than this say nothing of a share. */
const ENOUGH = 20;

const percent = (share: number) => `${Math.round(100 * share)} %`;
/** `1 message`, `3 messages`. */
const amount = (count: number, what: string) => `${count.toLocaleString('en')} ${what}${count === 1 ? '' : 's'}`;
const seconds = (count: number) =>
  count < 120 ? `${count.toFixed(count < 10 ? 1 : 0)} s` : `${Math.round(count / 60)} min`;

function bad(runbook: string, detail: string, title = runbook): Found {
  return { severity: 'bad', title, detail, runbook };
}

function wait(runbook: string, detail: string, title = runbook): Found {
  return { severity: 'wait', title, detail, runbook };
}

/** Rules of refusals that are limits, which the operator sets. */
const LIMITS = [
  ...[
    'connections',
    'connections_per_address',
    'address_share',
    'sessions_per_key',
    'bytes_in_flight',
    'failed_logins',
  ],
  ...['messages_per_minute', 'messages_per_day', 'recipients_per_minute', 'recipients_per_day'],
];

/** How many of some labels there were, or of all, in the last so many milliseconds. */
function count({ recorder }: Evidence, name: CounterName, milliseconds: number, ...labels: string[]): number {
  return sum(recorder.counted(milliseconds).counts[name], ...labels);
}

function share(evidence: Evidence, name: CounterName, milliseconds: number, ...labels: string[]): number {
  const all = count(evidence, name, milliseconds);
  return all < ENOUGH ? 0 : count(evidence, name, milliseconds, ...labels) / all;
}

function isDown(report: DependencyReport | undefined): report is DependencyReport {
  return report !== undefined && !report.ok;
}

/** The thresholds are those of the chart's alerts, over minutes of which this process knows. */
const RULES: readonly Rule[] = [
  ({ health: { dependencies } }) => {
    const { postgres } = dependencies;
    if (!isDown(postgres)) return null;
    return bad(
      'Messages are put off',
      `The database did not serve (${postgres.lastError?.class}).`,
      'The database is away',
    );
  },
  ({ health: { dependencies }, gauges }) => {
    const { sqs } = dependencies;
    if (!isDown(sqs) && gauges.queueReachable !== 0) return null;
    const why = isDown(sqs)
      ? `The queue did not answer (${sqs.lastError?.class}).`
      : 'The last call to the queue failed.';
    return bad('The queue cannot be reached', `${why} Messages are accepted and safe, but late.`);
  },
  ({ health: { dependencies } }) => {
    const { s3 } = dependencies;
    if (!isDown(s3)) return null;
    return bad('Object storage is away', `It did not serve (${s3.lastError?.class}). Large messages are put off.`);
  },
  ({ health: { ready }, role }) => {
    if (ready.ok) return null;
    const heading = role === 'relay' ? 'No relay is up' : 'No worker is up';
    return bad(heading, `${ready.reasons.join('; ')}.`, 'This process is not ready');
  },
  evidence => {
    const faults = count(evidence, 'messages', 5 * MINUTE, 'fault');
    return faults === 0
      ? null
      : bad('Messages are put off', `${amount(faults, 'message')} got a 451 for a fault on our side in five minutes.`);
  },
  evidence => {
    const deferred = share(evidence, 'messages', QUARTER, 'deferred');
    const detail = `${percent(deferred)} of the messages of a quarter of an hour got a 4xx because of a limit.`;
    return deferred <= 0.1 ? null : wait('Messages are put off', detail, 'Many messages are put off by limits');
  },
  evidence => {
    const hit = LIMITS.map(limit => ({ limit, times: count(evidence, 'refusals', 5 * MINUTE, limit) }));
    const often = hit.filter(({ times }) => times >= ENOUGH).map(({ limit, times }) => `${limit} (${times})`);
    if (often.length === 0) return null;
    return wait(
      'Messages are put off',
      `Refused for them in five minutes: ${often.join(', ')}.`,
      'Limits are being hit',
    );
  },
  evidence => {
    const refused = share(evidence, 'messages', QUARTER, 'refused');
    const detail = `${percent(refused)} of the messages of a quarter of an hour got a 5xx.`;
    return refused <= 0.2 ? null : wait('Many messages are refused', detail);
  },
  evidence => {
    const failed = count(evidence, 'logins', 5 * MINUTE, 'failed', 'refused');
    return failed < 100 ? null : wait('Many log-ins fail', `${amount(failed, 'log-in')} failed in five minutes.`);
  },
  ({ recorder }) => {
    const slowest = recorder.quantile('acceptance', 0.99, 5 * MINUTE) ?? 0;
    if (slowest <= 2) return null;
    return wait(
      'Clients wait long for the 250',
      `One message in a hundred took longer than ${seconds(slowest)} in five minutes.`,
    );
  },
  ({ sample: { values } }) => {
    const { outboxAge, outboxDue } = values;
    if (!outboxAge || outboxAge <= MINUTE / 1_000) return null;
    const found = outboxAge > 300 ? bad : wait;
    const detail = `The first of ${amount(outboxDue ?? 1, 'send job')} has been due for ${seconds(outboxAge)}.`;
    return found('Accepted messages are not passed on', detail);
  },
  ({ fleet, sample: { values } }) => {
    if (fleet === null || fleet.liveWorkers > 0 || !values.outboxDue) return null;
    return bad('No worker is up', 'No worker gives a sign of life, and there is something to deliver.');
  },
  ({ gauges }) => {
    if (gauges.standsStill !== 1) return null;
    return bad('A worker stands still', 'The database refuses what sending needs, so that nothing is sent.');
  },
  ({ health: { shutRoutes = [] }, fleet }) => {
    const own = shutRoutes.map(({ route, reason }) => `${route} (${reason})`);
    const ways = own.length > 0 ? own : (fleet?.shutWays ?? []);
    return ways.length === 0 ? null : wait('A way out is shut', `${ways.join(', ')}: its messages are safe, and wait.`);
  },
  ({ fleet }) =>
    fleet?.held
      ? wait('Messages are held', `${amount(fleet.held, 'message')} wait${fleet.held === 1 ? 's' : ''} for a person.`)
      : null,
  evidence => {
    const failing = share(evidence, 'sends', 10 * MINUTE, 'transient', 'unknown');
    const detail = `${percent(failing)} of the recipients could not be sent to in ten minutes, and are tried again.`;
    return failing <= 0.2 ? null : bad('Sends fail', detail);
  },
  ({ recorder }) => {
    const late = recorder.quantile('sendAge', 0.95, 10 * MINUTE) ?? 0;
    return late <= 300
      ? null
      : wait('Messages are delivered late', `One in twenty took longer than ${seconds(late)} in ten minutes.`);
  },
  ({ fleet }) => {
    const waited = fleet?.oldestWaiting ?? 0;
    return waited <= HOURS_TO_WAIT * 3_600
      ? null
      : wait('A message waits for hours', `The oldest was accepted ${(waited / 3_600).toFixed(1)} hours ago.`);
  },
  evidence => {
    const throttled = count(evidence, 'throttled', QUARTER);
    return throttled < 100
      ? null
      : wait('SES throttles', `SES refused ${amount(throttled, 'call')} in a quarter of an hour.`);
  },
  ({ gauges: { quotaUsed } }) => {
    if (quotaUsed === null || quotaUsed <= 0.8) return null;
    const found = quotaUsed > 0.95 ? bad : wait;
    return found('The daily quota of SES is nearly used up', `${percent(quotaUsed)} of it is used.`);
  },
  ({ gauges: { webhooksLate } }) => {
    if (webhooksLate === null || webhooksLate <= 600) return null;
    return wait('Webhooks are late', `The first delivery has been due for ${seconds(webhooksLate)}.`);
  },
  evidence => {
    const lost = count(evidence, 'deadLetters', QUARTER);
    const detail = `${amount(lost, 'delivery').replace(/ys$/, 'ies')} failed at the last try in a quarter of an hour.`;
    return lost === 0 ? null : wait('Webhook deliveries were given up', detail);
  },
  evidence => {
    const dropped = count(evidence, 'hits', QUARTER, 'dropped');
    return dropped === 0
      ? null
      : wait('Opens and clicks are lost', `${amount(dropped, 'hit')} dropped in a quarter of an hour.`);
  },
  ({ gauges: { certificateEndsAt }, now }) => {
    if (certificateEndsAt === null) return null;
    const days = (certificateEndsAt - now) / 86_400_000;
    if (days >= 7) return null;
    const detail =
      days < 0
        ? 'It has ended: clients refuse to send.'
        : `It ends in ${days < 1 ? 'less than a day' : amount(Math.floor(days), 'day')}.`;
    return (days < 1 ? bad : wait)('The certificate ends soon', detail);
  },
  evidence => {
    const failures = count(evidence, 'certificateFailures', QUARTER);
    return failures === 0 ? null : wait('A new certificate could not be used', 'The old one stays in use.');
  },
  ({ health: { configuration } }) => {
    const error = configuration?.lastError;
    return error ? wait('A changed configuration could not be used', error.message) : null;
  },
  ({ health: { configuration } }) => {
    const settings = configuration?.restartToApply ?? [];
    return settings.length === 0 ? null : wait('A changed setting takes a restart', settings.join(', '));
  },
  ({ gauges: { unreconciled } }) => {
    if (!unreconciled) return null;
    return wait(
      'Nobody reconciles declared resources',
      `${amount(unreconciled, 'declared object')} in force, and no process has the documents.`,
    );
  },
  ({ health: { resources } }) => {
    if (!resources || resources.ok) return null;
    return wait('A declared object is not ready', `${resources.reasons.join('; ')}.`);
  },
  ({ recorder }) => {
    const waiting = recorder.recent('waiting', MINUTE);
    if (waiting.length < 3 || Math.min(...waiting) === 0) return null;
    return wait('Queries wait for a connection', `At least ${Math.min(...waiting)} waited all the time for a minute.`);
  },
  ({ recorder, health: { live } }) => {
    const busy = recorder.recent('busy', MINUTE);
    const mean = busy.reduce((all, value) => all + value, 0) / Math.max(1, busy.length);
    if (live.ok && (busy.length < 3 || mean < 0.9)) return null;
    return wait(
      'A pod is overloaded',
      live.ok ? `Its event loop was at work for ${percent(mean)} of a minute.` : live.reasons.join('; '),
    );
  },
];

/** Finds what is wrong, the gravest first. */
export function findProblems(evidence: Evidence): Found[] {
  const found = RULES.flatMap(rule => rule(evidence) ?? []);
  return [
    ...found.filter(({ severity }) => severity === 'bad'),
    ...found.filter(({ severity }) => severity === 'wait'),
  ];
}

/** As GitHub makes it of a heading. */
export function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^a-z0-9 _-]/g, '')
    .replaceAll(' ', '-');
}
