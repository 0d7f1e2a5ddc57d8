import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from '../observability/metrics.ts';
import { KINDS, type KindName } from './kinds/kinds.ts';
import type { DeclarationRecord } from './records.ts';

export interface PassCounts {
  readonly created: number;
  readonly updated: number;
  readonly removed: number;
}

/** Each is a series of its own, and one fault of a folder may be that of thousands. */
const MOST_NAMED = 20;

/** What can be counted of declarations. They are told by the process that has the lease, and by no other. */
export interface DeclarationMetrics {
  leads(isLeader: boolean): void;
  passed(seconds: number, records: readonly Pick<DeclarationRecord, 'kind' | 'name' | 'ready'>[]): void;
  changed(kind: KindName, action: 'create' | 'update' | 'remove'): void;
  failed(seconds: number): void;
  problems(count: number): void;
  kept(count: number): void;
}

export function createDeclarationMetrics(registry: Registry): DeclarationMetrics {
  const registers = [registry];
  const objects = new Gauge({
    name: 'smtp_relay_resources',
    help: 'Declared objects, by whether they are as declared; told by the process that has the lease',
    labelNames: ['kind', 'ready'],
    registers,
  });
  const notReady = new Gauge({
    name: 'smtp_relay_resources_not_ready',
    help: `1 for each declared object that is not as declared, ${MOST_NAMED} at most; smtp_relay_resources counts all of them`,
    labelNames: ['kind', 'name'],
    registers,
  });
  const leader = new Gauge({
    name: 'smtp_relay_resources_leader',
    help: 'Whether this process has the lease and makes the database match the documents',
    registers,
  });
  const problems = new Gauge({
    name: 'smtp_relay_resources_problems',
    help: 'What is wrong with the documents, as they were last read by the process that has the lease',
    registers,
  });
  const kept = new Gauge({
    name: 'smtp_relay_resources_kept',
    help: 'Declared objects that no document declares any more, and that are kept since all documents of their folder are gone',
    registers,
  });
  const changes = new Counter({
    name: 'smtp_relay_resources_changes_total',
    help: 'Declared objects that were created, updated or removed in the database',
    labelNames: ['kind', 'action'],
    registers,
  });
  const passes = new Histogram({
    name: 'smtp_relay_resources_pass_seconds',
    help: 'How long it took to compare the database with the documents, and to make it match',
    labelNames: ['result'],
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  const lastSuccess = new Gauge({
    name: 'smtp_relay_resources_last_success_timestamp_seconds',
    help: 'When the database was last made to match the documents',
    registers,
  });
  leader.set(0);
  return {
    leads(isLeader) {
      leader.set(isLeader ? 1 : 0);
      if (isLeader) return;
      objects.reset();
      notReady.reset();
      problems.reset();
      kept.reset();
    },
    passed(seconds, records) {
      passes.observe({ result: 'ok' }, seconds);
      lastSuccess.setToCurrentTime();
      for (const kind of KINDS) {
        const same = records.filter(record => record.kind === kind);
        const ready = same.filter(record => record.ready).length;
        objects.set({ kind, ready: 'true' }, ready);
        objects.set({ kind, ready: 'false' }, same.length - ready);
      }
      notReady.reset();
      for (const { kind, name } of records.filter(({ ready }) => !ready).slice(0, MOST_NAMED))
        notReady.set({ kind, name }, 1);
    },
    changed: (kind, action) => changes.inc({ kind, action }),
    failed: seconds => passes.observe({ result: 'failed' }, seconds),
    problems: count => problems.set(count),
    kept: count => kept.set(count),
  };
}
