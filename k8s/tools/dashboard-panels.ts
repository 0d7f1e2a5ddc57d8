/*
 * What Grafana's dashboard shows. Each panel is a question of docs/metrics.md; metric names are checked against that document by
 * check-metrics.ts.
 */

type Unit = 'short' | 'ops' | 's' | 'bytes' | 'percentunit' | 'none' | 'dateTimeFromNow';

export interface Panel {
  readonly title: string;
  readonly description: string;
  readonly unit: Unit;
  /** Query -> legend. */
  readonly queries: Readonly<Record<string, string>>;
  readonly kind?: 'timeseries' | 'stat';
  /** Of 24. */
  readonly width?: number;
  readonly stacked?: boolean;
}

export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

/** Of this release, whatever pod. */
const S = 'namespace="$namespace", pod=~"$release-.*"';
const rate = (metric: string, labels = '') => `rate(${metric}{${S}${labels && `, ${labels}`}}[$__rate_interval])`;
const gauge = (metric: string, labels = '') => `${metric}{${S}${labels && `, ${labels}`}}`;
const quantile = (q: number, metric: string, by = '') =>
  `histogram_quantile(${q}, sum by (le${by && `, ${by}`}) (${rate(`${metric}_bucket`)}))`;

export const ROWS: readonly Row[] = [
  {
    title: 'At a glance',
    panels: [
      {
        title: 'Relays',
        description: 'Pods that are scraped.',
        unit: 'none',
        kind: 'stat',
        width: 3,
        queries: { [`count(${gauge('smtp_relay_build_info', 'role="relay"')})`]: '' },
      },
      {
        title: 'Workers',
        description: 'Pods that are scraped.',
        unit: 'none',
        kind: 'stat',
        width: 3,
        queries: { [`count(${gauge('smtp_relay_build_info', 'role="worker"')})`]: '' },
      },
      {
        title: 'Messages in',
        description: 'Accepted, a second.',
        unit: 'ops',
        kind: 'stat',
        width: 4,
        queries: { [`sum(${rate('smtp_relay_messages_total', 'result="queued"')})`]: '' },
      },
      {
        title: 'Time to 250',
        description: 'Of 99 messages in a hundred.',
        unit: 's',
        kind: 'stat',
        width: 4,
        queries: { [quantile(0.99, 'smtp_relay_acceptance_duration_seconds')]: '' },
      },
      {
        title: 'Faults',
        description: 'The share of messages that got a 451 because of us.',
        unit: 'percentunit',
        kind: 'stat',
        width: 3,
        queries: {
          [`sum(${rate('smtp_relay_messages_total', 'result="fault"')}) / sum(${rate('smtp_relay_messages_total')})`]:
            '',
        },
      },
      {
        title: 'Oldest job',
        description: 'For how long the first send job in the outbox has been due.',
        unit: 's',
        kind: 'stat',
        width: 4,
        queries: { [`max(${gauge('smtp_relay_outbox_oldest_due_seconds')})`]: '' },
      },
      {
        title: 'Certificate ends',
        description: 'That in use.',
        unit: 'dateTimeFromNow',
        kind: 'stat',
        width: 3,
        queries: { [`min(${gauge('smtp_relay_tls_certificate_expiry_timestamp_seconds')}) * 1000`]: '' },
      },
    ],
  },
  {
    title: 'Messages in',
    panels: [
      {
        title: 'Messages by result',
        description: 'Messages that arrived in full.',
        unit: 'ops',
        stacked: true,
        queries: { [`sum by (result) (${rate('smtp_relay_messages_total')})`]: '{{result}}' },
      },
      {
        title: 'Time from the end of a message to its 250',
        description: 'What clients wait for.',
        unit: 's',
        queries: {
          [quantile(0.5, 'smtp_relay_acceptance_duration_seconds')]: 'p50',
          [quantile(0.95, 'smtp_relay_acceptance_duration_seconds')]: 'p95',
          [quantile(0.99, 'smtp_relay_acceptance_duration_seconds')]: 'p99',
        },
      },
      {
        title: 'Where that time goes',
        description: 'Seconds a second, by step. parse and facts go on at the same time.',
        unit: 's',
        stacked: true,
        queries: { [`sum by (step) (${rate('smtp_relay_acceptance_step_seconds_total')})`]: '{{step}}' },
      },
      {
        title: 'Refusals',
        description: 'By step and rule.',
        unit: 'ops',
        queries: { [`sum by (step, rule) (${rate('smtp_relay_refusals_total')}) > 0`]: '{{step}}: {{rule}}' },
      },
      {
        title: 'Replies',
        description: 'By class.',
        unit: 'ops',
        stacked: true,
        queries: { [`sum by (class) (${rate('smtp_relay_replies_total')})`]: '{{class}}' },
      },
      {
        title: 'Commits',
        description: 'Messages that share one commit, and what one takes.',
        unit: 'short',
        queries: {
          [`sum(${rate('smtp_relay_commit_messages_sum')}) / sum(${rate('smtp_relay_commit_messages_count')})`]:
            'messages a commit',
          [quantile(0.99, 'smtp_relay_commit_duration_seconds')]: 'p99 in seconds',
        },
      },
    ],
  },
  {
    title: 'Clients',
    panels: [
      {
        title: 'Connections and sessions',
        description: 'Open connections, and those that are logged in.',
        unit: 'none',
        queries: {
          [`sum by (pod) (${gauge('smtp_relay_connections')})`]: 'connections {{pod}}',
          [`sum by (pod) (${gauge('smtp_relay_sessions')})`]: 'sessions {{pod}}',
        },
      },
      {
        title: 'New connections',
        description: 'A second.',
        unit: 'ops',
        queries: { [`sum(${rate('smtp_relay_connections_total')})`]: 'connections' },
      },
      {
        title: 'Log-ins',
        description: 'By result.',
        unit: 'ops',
        stacked: true,
        queries: { [`sum by (result) (${rate('smtp_relay_logins_total')})`]: '{{result}}' },
      },
      {
        title: 'Bytes in flight',
        description: 'Of messages that are being received or stored, in each pod.',
        unit: 'bytes',
        queries: { [`sum by (pod) (${gauge('smtp_relay_bytes_in_flight')})`]: '{{pod}}' },
      },
    ],
  },
  {
    title: 'From the database to the worker',
    panels: [
      {
        title: 'Outbox',
        description: 'Send jobs of the whole installation.',
        unit: 'none',
        queries: { [`max by (state) (${gauge('smtp_relay_outbox_jobs')})`]: '{{state}}' },
      },
      {
        title: 'Oldest job',
        description: 'For how long the first one has been due.',
        unit: 's',
        queries: { [`max(${gauge('smtp_relay_outbox_oldest_due_seconds')})`]: 'oldest' },
      },
      {
        title: 'Publishing',
        description: 'Jobs by what became of it.',
        unit: 'ops',
        queries: { [`sum by (result) (${rate('smtp_relay_publish_jobs_total')})`]: '{{result}}' },
      },
      {
        title: 'Jobs taken',
        description: 'By the workers.',
        unit: 'ops',
        queries: {
          [`sum by (kind) (${rate('smtp_relay_jobs_received_total')})`]: '{{kind}}',
          [`sum by (source) (${rate('smtp_relay_claims_total')})`]: 'claimed from {{source}}',
        },
      },
    ],
  },
  {
    title: 'Delivery',
    panels: [
      {
        title: 'Recipients by outcome',
        description: 'Of calls to transports.',
        unit: 'ops',
        stacked: true,
        queries: { [`sum by (transport, outcome) (${rate('smtp_relay_sends_total')})`]: '{{transport}}: {{outcome}}' },
      },
      {
        title: 'Time from acceptance to send',
        description: 'What recipients wait for.',
        unit: 's',
        queries: {
          [quantile(0.5, 'smtp_relay_send_age_seconds')]: 'p50',
          [quantile(0.95, 'smtp_relay_send_age_seconds')]: 'p95',
          [quantile(0.99, 'smtp_relay_send_age_seconds')]: 'p99',
        },
      },
      {
        title: 'Calls to transports',
        description: 'Time of one.',
        unit: 's',
        queries: { [quantile(0.95, 'smtp_relay_send_duration_seconds', 'transport')]: '{{transport}} p95' },
      },
      {
        title: 'Where messages stand after a try',
        description: 'sent, retry, failed and so on.',
        unit: 'ops',
        queries: { [`sum by (standing) (${rate('smtp_relay_messages_settled_total')})`]: '{{standing}}' },
      },
      {
        title: 'Amazon SES',
        description: 'The rate that workers may send at, and calls that were refused.',
        unit: 'ops',
        queries: {
          [`sum by (region) (${gauge('smtp_relay_ses_send_rate_recipients')})`]: 'allowed in {{region}}',
          [`sum by (region) (${rate('smtp_relay_ses_throttled_total')})`]: 'throttled in {{region}}',
        },
      },
      {
        title: 'Messages in hand',
        description: 'Of each worker.',
        unit: 'none',
        queries: { [`sum by (pod) (${gauge('smtp_relay_messages_in_hand')})`]: '{{pod}}' },
      },
    ],
  },
  {
    title: 'Events, tracking and webhooks',
    panels: [
      {
        title: 'Events of SES',
        description: 'By type.',
        unit: 'ops',
        queries: {
          [`sum by (type) (${rate('smtp_relay_events_total')})`]: '{{type}}',
          [`sum by (result) (${rate('smtp_relay_notifications_total', 'result=~"unknown|invalid"')})`]:
            'notifications {{result}}',
        },
      },
      {
        title: 'Opens and clicks',
        description: 'By what became of them.',
        unit: 'ops',
        queries: { [`sum by (type, result) (${rate('smtp_relay_tracking_hits_total')})`]: '{{type}} {{result}}' },
      },
      {
        title: 'Webhooks',
        description: 'Tries by how they ended.',
        unit: 'ops',
        stacked: true,
        queries: { [`sum by (result) (${rate('smtp_relay_webhook_attempts_total')})`]: '{{result}}' },
      },
      {
        title: 'Webhooks that wait',
        description: 'For how long the first has been due.',
        unit: 's',
        queries: { [`max(${gauge('smtp_relay_webhook_oldest_due_seconds')})`]: 'oldest' },
      },
    ],
  },
  {
    title: 'Pods',
    panels: [
      {
        title: 'Processor',
        description: 'Cores in use.',
        unit: 'short',
        queries: { [`sum by (pod) (${rate('process_cpu_seconds_total')})`]: '{{pod}}' },
      },
      {
        title: 'Memory',
        description: 'Resident.',
        unit: 'bytes',
        queries: { [`sum by (pod) (${gauge('process_resident_memory_bytes')})`]: '{{pod}}' },
      },
      {
        title: 'Event loop',
        description: 'Lag of one turn in a hundred.',
        unit: 's',
        queries: { [`max by (pod) (${gauge('nodejs_eventloop_lag_p99_seconds')})`]: '{{pod}}' },
      },
      {
        title: 'Database connections',
        description: 'In use, allowed, and queries that wait for one.',
        unit: 'none',
        queries: {
          [`sum by (pod) (${gauge('smtp_relay_database_connections', 'state="used"')})`]: 'used {{pod}}',
          [`sum by (pod) (${gauge('smtp_relay_database_connections_waited_for')})`]: 'waiting {{pod}}',
          [`max(${gauge('smtp_relay_database_connections_limit')})`]: 'limit',
        },
      },
      {
        title: 'Configuration',
        description: 'Which one is in force; settings that wait for a restart; files that could not be used.',
        unit: 'none',
        queries: {
          [`max by (pod) (${gauge('smtp_relay_config_generation')})`]: 'generation {{pod}}',
          [`max(${gauge('smtp_relay_config_restart_pending_settings')})`]: 'restart pending',
          [`sum(increase(${gauge('smtp_relay_config_reload_failures_total')}[$__rate_interval]))`]: 'failures',
        },
      },
      {
        title: 'HTTP',
        description: 'Requests by listener and status.',
        unit: 'ops',
        queries: {
          [`sum by (listener, status) (${rate('smtp_relay_http_request_duration_seconds_count')})`]:
            '{{listener}} {{status}}',
        },
      },
    ],
  },
];
