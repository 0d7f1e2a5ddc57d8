import { createLiveConfigMetrics } from '../../config/live.ts';
import { replaceBetweenMarkers } from '../../config/reference.ts';
import { createDeclarationMetrics } from '../../declared/metrics.ts';
import { createUnreconciledMetric } from '../../declared/unreconciled.ts';
import { createCircuitMetrics, createDeliveryMetrics, createWaitingMetrics } from '../../delivery/metrics.ts';
import { createSesMetrics } from '../../delivery/transport/ses/metrics.ts';
import { createEventsMetrics } from '../../events/metrics.ts';
import { addBuildInfo, createHttpMetrics } from '../../http/metrics.ts';
import { createOriginalMetrics } from '../../intake/originals.ts';
import { createHousekeepingMetrics } from '../../maintenance/housekeeping.ts';
import { createObjectMetrics } from '../../objects/store.ts';
import { createRegistry, type Registry } from '../../observability/metrics.ts';
import { createClockMetrics } from '../../postgres/clock.ts';
import { createPublisherMetrics, createQueueMetrics } from '../../queue/telemetry.ts';
import { createSmtpMetrics, observeListeners } from '../../smtp/metrics.ts';
import { createTlsMetrics } from '../../smtp/tls/certificate.ts';
import { createHandshakeMetrics, createLegacyMetrics } from '../../smtp/tls/handshakes.ts';
import { createIntakeMetrics } from '../../store/intake/intake.ts';
import { createStoreMetrics } from '../../store/metrics.ts';
import { createSessionLogMetrics } from '../../store/sessions/session-log.ts';
import { createHitMetrics } from '../../tracking/hits.ts';
import { createWebhooksMetrics } from '../../webhooks/metrics.ts';

/** The metrics of one part. */
export interface MetricGroup {
  readonly title: string;
  /** Which processes have it. */
  readonly roles: string;
  readonly metrics: readonly MetricDescription[];
}

export interface MetricDescription {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
  readonly help: string;
}

interface Part {
  readonly title: string;
  readonly roles: string;
  readonly add: (registry: Registry, state: CatalogueState) => void;
}

/** What gauges show that read something at each scrape; 0 unless given. */
export interface CatalogueState {
  readonly connections?: () => number;
}

const nothing = () => 0;
const noPool = { totalCount: 0, idleCount: 0, waitingCount: 0 };

/** All that makes metrics, in the order of a message. `test/observability/metrics.test.ts` finds what is missing here. */
const PARTS: readonly Part[] = [
  {
    title: 'Clients and their messages',
    roles: 'relay',
    add(registry, { connections = nothing }) {
      createSmtpMetrics(registry);
      observeListeners(registry, { connections, addresses: nothing, bytesInFlight: nothing });
      createHandshakeMetrics(registry);
    },
  },
  { title: 'The certificate', roles: 'relay with TLS', add: createTlsMetrics },
  { title: 'The port for old devices', roles: 'relay with `tls.legacyPort`', add: createLegacyMetrics },
  { title: 'Sessions that were refused something', roles: 'relay', add: createSessionLogMetrics },
  {
    title: 'Storing messages',
    roles: 'relay',
    add(registry) {
      createIntakeMetrics(registry);
      createOriginalMetrics(registry);
    },
  },
  { title: 'Object storage', roles: 'relay and worker', add: createObjectMetrics },
  {
    title: 'The database and the outbox',
    roles: 'relay and worker',
    add: registry =>
      createStoreMetrics(registry, {
        pool: noPool,
        poolSize: 0,
        readOutbox: async () => ({ due: 0, later: 0, oldestSeconds: 0 }),
        unfit: () => 0,
      }),
  },
  {
    title: 'Publishing jobs',
    roles: 'relay and worker with a queue',
    add: registry => createPublisherMetrics(registry, { pending: nothing, depth: nothing, isFull: () => false }),
  },
  { title: 'Taking jobs', roles: 'worker', add: createQueueMetrics },
  {
    title: 'Sending',
    roles: 'worker',
    add: registry => {
      createDeliveryMetrics(registry);
      createWaitingMetrics(registry, async () => 0);
    },
  },
  { title: 'Ways out', roles: 'worker', add: createCircuitMetrics },
  { title: 'Amazon SES', roles: 'worker', add: createSesMetrics },
  { title: 'Events of providers', roles: 'worker', add: createEventsMetrics },
  { title: 'Opens and clicks', roles: 'worker', add: registry => createHitMetrics(registry, nothing) },
  {
    title: 'Webhooks',
    roles: 'worker',
    add: registry => createWebhooksMetrics(registry, async () => ({ due: 0, oldestSeconds: 0 })),
  },
  { title: 'The clock', roles: 'worker', add: registry => createClockMetrics(registry, nothing) },
  { title: 'Housekeeping', roles: 'worker', add: createHousekeepingMetrics },
  { title: 'HTTP', roles: 'relay and worker', add: createHttpMetrics },
  { title: 'Configuration', roles: 'relay and worker', add: createLiveConfigMetrics },
  { title: 'Declared resources', roles: 'relay and worker with resources', add: createDeclarationMetrics },
  {
    title: 'Declared resources that nobody looks after',
    roles: 'relay and worker',
    add: registry => void createUnreconciledMetric(registry),
  },
  {
    title: 'The process',
    roles: 'relay and worker',
    add: registry => addBuildInfo(registry, { version: '', role: 'relay' }),
  },
];

/** All of them on one registry, as if relay and worker were one process. */
export function registerAllMetrics(registry: Registry, state: CatalogueState = {}): void {
  for (const { add } of PARTS) add(registry, state);
}

/** What the registries of relay and worker hold, but for what is the same in every Node process. */
export function listMetrics(): MetricGroup[] {
  return PARTS.map(({ title, roles, add }) => {
    const registry = createRegistry();
    add(registry, {});
    return { title, roles, metrics: registry.getMetricsAsArray().map(describeMetric) };
  });
}

type Registered = ReturnType<Registry['getMetricsAsArray']>[number];

function describeMetric(metric: Registered): MetricDescription {
  const { name, help, type, labelNames = [] } = metric as Registered & { readonly labelNames?: readonly string[] };
  return { name, help, type: String(type), labels: labelNames };
}

/** The reference of all metrics: a Markdown table for each part. */
export function renderMetrics(): string {
  const head = ['| Metric | Type | Labels | Meaning |', '| --- | --- | --- | --- |'];
  const sections = listMetrics().map(({ title, roles, metrics }) =>
    [`### ${title}`, '', `In: ${roles}.`, '', ...head, ...metrics.map(renderRow)].join('\n'),
  );
  return sections.join('\n\n');
}

/** Puts the reference between the markers of a document. @throws Error where it has none */
export function updateMetrics(document: string): string {
  return replaceBetweenMarkers(document, renderMetrics());
}

function renderRow({ name, type, labels, help }: MetricDescription): string {
  const cells = [`\`${name}\``, type, labels.map(label => `\`${label}\``).join(', '), `${help.replace(/\.$/, '')}.`];
  return `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}
