import { quantile, quantiles, type Row, rate, series } from './panel.ts';

export const OUTBOX: Row = {
  title: 'From the database to the worker',
  panels: [
    {
      title: 'Outbox',
      description: 'Send jobs of the whole installation: due, and those of messages that are tried again later.',
      unit: 'none',
      queries: { [`max by (state) (${series('smtp_relay_outbox_jobs')})`]: '{{state}}' },
    },
    {
      title: 'Oldest job',
      description:
        'For how long the first job has been due, and for how long the oldest message has waited, also one that is tried again later.',
      unit: 's',
      queries: {
        [`max(${series('smtp_relay_outbox_oldest_due_seconds')})`]: 'due',
        [`max(${series('smtp_relay_oldest_waiting_seconds')})`]: 'message',
      },
    },
    {
      title: 'Publishing',
      description: 'Jobs by what became of it.',
      unit: 'ops',
      ofOutcomes: true,
      queries: { [`sum by (result) (${rate('smtp_relay_publish_jobs_total')})`]: '{{result}}' },
    },
    {
      title: 'Calls to the queue',
      description: 'Time of one, with up to ten jobs.',
      unit: 's',
      queries: quantiles('smtp_relay_publish_duration_seconds'),
    },
    {
      title: 'Jobs taken',
      description: 'By the workers, from the queue or the outbox. poison is what nobody understands.',
      unit: 'ops',
      queries: { [`sum by (kind) (${rate('smtp_relay_jobs_received_total')})`]: '{{kind}}' },
    },
    {
      title: 'Claims',
      description: 'Messages that workers claimed: for a job, or because the claim of a worker that is gone ran out.',
      unit: 'mps',
      queries: {
        [`sum by (source) (${rate('smtp_relay_claims_total')})`]: '{{source}}',
        [`sum(${rate('smtp_relay_claims_lost_total')})`]: 'lost to another worker',
        [`sum(${rate('smtp_relay_republished_jobs_total')})`]: 'job published again',
      },
    },
  ],
};

export const DELIVERY: Row = {
  title: 'Delivery',
  panels: [
    {
      title: 'Recipients by outcome',
      description: 'Of calls to transports.',
      unit: 'ops',
      stacked: true,
      ofOutcomes: true,
      queries: { [`sum by (transport, outcome) (${rate('smtp_relay_sends_total')})`]: '{{transport}}: {{outcome}}' },
    },
    {
      title: 'Time from acceptance to send',
      description: 'What recipients wait for.',
      unit: 's',
      queries: quantiles('smtp_relay_send_age_seconds'),
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
      unit: 'mps',
      ofOutcomes: true,
      queries: { [`sum by (standing) (${rate('smtp_relay_messages_settled_total')})`]: '{{standing}}' },
    },
    {
      title: 'Amazon SES',
      description: 'Recipients a second that all workers together may send to, and calls that were refused.',
      unit: 'ops',
      queries: {
        [`max by (region) (${series('smtp_relay_ses_send_rate_recipients')})`]: 'allowed in {{region}}',
        [`sum by (region) (${rate('smtp_relay_ses_throttled_total')})`]: 'throttled in {{region}}',
      },
    },
    {
      title: 'Daily quota of Amazon SES',
      description: 'How much of what SES takes of an account in 24 hours is used.',
      unit: 'percentunit',
      queries: {
        [`max by (region, account) (${series('smtp_relay_ses_daily_quota_used_ratio')})`]: '{{region}} {{account}}',
      },
    },
    {
      title: 'Ways out that are shut',
      description: 'By route and reason; their messages wait, and one at a time tries whether they work again.',
      unit: 'none',
      queries: {
        [`max by (route, reason) (${series('smtp_relay_circuit_open')})`]: '{{route}}: {{reason}}',
      },
    },
    {
      title: 'Messages in hand',
      description: 'Of each worker.',
      unit: 'none',
      queries: { [`sum by (pod) (${series('smtp_relay_messages_in_hand')})`]: '{{pod}}' },
    },
  ],
};

export const EVENTS: Row = {
  title: 'Events, tracking and webhooks',
  panels: [
    {
      title: 'Events of SES',
      description: 'By type; notifications that were of no use, by why.',
      unit: 'eps',
      ofOutcomes: true,
      queries: {
        [`sum by (type) (${rate('smtp_relay_events_total')})`]: '{{type}}',
        [`sum by (result) (${rate('smtp_relay_notifications_total', 'result=~"unknown|invalid"')})`]:
          'notifications {{result}}',
      },
    },
    {
      title: 'Suppression',
      description: 'Recipients who came onto the list, by why, and those left out of a message because of it.',
      unit: 'ops',
      queries: {
        [`sum by (reason) (${rate('smtp_relay_suppressions_total')})`]: '{{reason}}',
        [`sum(${rate('smtp_relay_recipients_suppressed_total')})`]: 'left out',
      },
    },
    {
      title: 'Opens and clicks',
      description: 'By what became of them.',
      unit: 'eps',
      queries: { [`sum by (type, result) (${rate('smtp_relay_tracking_hits_total')})`]: '{{type}} {{result}}' },
    },
    {
      title: 'Webhooks',
      description: 'Tries by how they ended, and deliveries that failed at their last one.',
      unit: 'ops',
      ofOutcomes: true,
      queries: {
        [`sum by (result) (${rate('smtp_relay_webhook_attempts_total')})`]: '{{result}}',
        [`sum(${rate('smtp_relay_webhook_dead_letters_total')})`]: 'dead letters',
      },
    },
    {
      title: 'Time of a webhook',
      description: 'Of one try.',
      unit: 's',
      queries: quantiles('smtp_relay_webhook_attempt_seconds'),
    },
    {
      title: 'Webhooks that wait',
      description: 'For how long the first has been due.',
      unit: 's',
      queries: { [`max(${series('smtp_relay_webhook_oldest_due_seconds')})`]: 'oldest' },
    },
  ],
};
