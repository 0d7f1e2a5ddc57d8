import { mean, quantile, quantiles, type Row, rate, series } from './panel.ts';

const HOUR = 3600;
const DAY = 24 * HOUR;

const faults = `sum(${rate('smtp_relay_messages_total', 'result="fault"')})`;
const messages = `sum(${rate('smtp_relay_messages_total')})`;

/** Colours change where the alerts do, or before. */
export const AT_A_GLANCE: Row = {
  title: 'At a glance',
  panels: [
    {
      title: 'Relays',
      description: 'Pods that are scraped.',
      unit: 'none',
      kind: 'stat',
      width: 3,
      queries: { [`count(${series('smtp_relay_build_info', 'role="relay"')}) or vector(0)`]: '' },
      colours: ['red', [1, 'green']],
    },
    {
      title: 'Workers',
      description: 'Pods that are scraped.',
      unit: 'none',
      kind: 'stat',
      width: 3,
      queries: { [`count(${series('smtp_relay_build_info', 'role="worker"')}) or vector(0)`]: '' },
      colours: ['red', [1, 'green']],
    },
    {
      title: 'Messages in',
      description: 'Accepted, a second.',
      unit: 'mps',
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
      // Where no message came the quantile is no number, and the comparison leaves it out.
      queries: { [`${quantile(0.99, 'smtp_relay_acceptance_duration_seconds')} >= 0`]: '' },
      colours: ['green', [1, 'orange'], [2, 'red']],
    },
    {
      title: 'Faults',
      description: 'The share of messages that got a 451 because of us.',
      unit: 'percentunit',
      kind: 'stat',
      width: 3,
      queries: { [`${faults} / (${messages} > 0) or 0 * ${messages}`]: '' },
      colours: ['green', [0.0001, 'orange'], [0.01, 'red']],
    },
    {
      title: 'Oldest job',
      description: 'For how long the first send job in the outbox has been due.',
      unit: 's',
      kind: 'stat',
      width: 3,
      queries: { [`max(${series('smtp_relay_outbox_oldest_due_seconds')})`]: '' },
      colours: ['green', [60, 'orange'], [300, 'red']],
    },
    {
      title: 'Certificate ends in',
      description: 'The first to end of those in use.',
      unit: 's',
      kind: 'stat',
      width: 4,
      queries: { [`min(${series('smtp_relay_tls_certificate_expiry_timestamp_seconds')}) - time()`]: '' },
      colours: ['red', [DAY, 'orange'], [7 * DAY, 'green']],
    },
  ],
};

export const MESSAGES_IN: Row = {
  title: 'Messages in',
  panels: [
    {
      title: 'Messages by result',
      description: 'Messages that arrived in full.',
      unit: 'mps',
      stacked: true,
      ofOutcomes: true,
      queries: { [`sum by (result) (${rate('smtp_relay_messages_total')})`]: '{{result}}' },
    },
    {
      title: 'Time from the end of a message to its 250',
      description: 'What clients wait for.',
      unit: 's',
      queries: quantiles('smtp_relay_acceptance_duration_seconds'),
    },
    {
      title: 'Where that time goes',
      description: 'Seconds a second, by step.',
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
      title: 'Messages a commit',
      description: 'How many messages share one commit on average. It grows with the load.',
      unit: 'short',
      queries: { [mean('smtp_relay_commit_messages')]: 'messages' },
    },
    {
      title: 'Time of a commit',
      description: 'What the database takes.',
      unit: 's',
      queries: quantiles('smtp_relay_commit_duration_seconds'),
    },
  ],
};

export const CLIENTS: Row = {
  title: 'Clients',
  panels: [
    {
      title: 'Connections and sessions',
      description: 'Open connections of each pod, and how many of all are logged in.',
      unit: 'none',
      queries: {
        [`sum by (pod) (${series('smtp_relay_connections')})`]: '{{pod}}',
        [`sum(${series('smtp_relay_sessions')})`]: 'logged in, all pods',
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
      ofOutcomes: true,
      queries: { [`sum by (result) (${rate('smtp_relay_logins_total')})`]: '{{result}}' },
    },
    {
      title: 'Delay of log-ins',
      description: 'How long those had to wait on average that came after too many failed ones.',
      unit: 's',
      queries: { [mean('smtp_relay_login_delay_seconds')]: 'average' },
    },
    {
      title: 'Replies',
      description: 'By class.',
      unit: 'ops',
      stacked: true,
      ofOutcomes: true,
      queries: { [`sum by (class) (${rate('smtp_relay_replies_total')})`]: '{{class}}' },
    },
    {
      title: 'Bytes in flight',
      description: 'Of messages that are being received or stored, in each pod.',
      unit: 'bytes',
      queries: { [`sum by (pod) (${series('smtp_relay_bytes_in_flight')})`]: '{{pod}}' },
    },
  ],
};
