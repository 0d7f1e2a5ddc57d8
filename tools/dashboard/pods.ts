import { type Row, rate, series } from './panel.ts';

export const PODS: Row = {
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
      queries: { [`sum by (pod) (${series('process_resident_memory_bytes')})`]: '{{pod}}' },
    },
    {
      title: 'Event loop',
      description: 'Lag of one turn in a hundred.',
      unit: 's',
      queries: { [`max by (pod) (${series('nodejs_eventloop_lag_p99_seconds')})`]: '{{pod}}' },
    },
    {
      title: 'Database connections',
      description: 'Those in use of each pod, how many each may have, and the queries of all pods that wait for one.',
      unit: 'none',
      queries: {
        [`sum by (pod) (${series('smtp_relay_database_connections', 'state="used"')})`]: '{{pod}}',
        [`max(${series('smtp_relay_database_connections_limit')})`]: 'limit',
        [`sum(${series('smtp_relay_database_connections_waited_for')})`]: 'waiting queries',
      },
    },
    {
      title: 'Configuration',
      description:
        'Changes that came into force, pods that could not use changed files, settings that wait for a restart.',
      unit: 'none',
      queries: {
        [`sum(changes(${series('smtp_relay_config_generation')}[$__rate_interval]))`]: 'changes',
        [`count(${series('smtp_relay_config_last_reload_successful')} == 0) or vector(0)`]: 'pods with the one before',
        [`max(${series('smtp_relay_config_restart_pending_settings')})`]: 'settings that wait for a restart',
      },
    },
    {
      title: 'Declared resources',
      description: 'Objects that are not as their documents declare them, by kind, and those that nobody reconciles.',
      unit: 'none',
      queries: {
        [`sum by (kind) (${series('smtp_relay_resources', 'ready="false"')}) > 0`]: 'not ready: {{kind}}',
        [`max(${series('smtp_relay_resources_problems')})`]: 'problems of documents',
        [`max(${series('smtp_relay_resources_unreconciled')})`]: 'reconciled by nobody',
      },
    },
    {
      title: 'HTTP',
      description: 'Requests by listener and status.',
      unit: 'reqps',
      queries: {
        [`sum by (listener, status) (${rate('smtp_relay_http_request_duration_seconds_count')})`]:
          '{{listener}} {{status}}',
      },
    },
  ],
};
