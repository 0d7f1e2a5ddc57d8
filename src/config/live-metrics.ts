import { Counter, Gauge, type Registry } from 'prom-client';

export interface LiveConfigMetrics {
  /** A generation is in force. */
  loaded(generation: number, loadedAt: Date, restartToApply: number): void;
  /** New files could not be used. */
  failed(): void;
}

export function createLiveConfigMetrics(registry: Registry): LiveConfigMetrics {
  const registers = [registry];
  const generation = new Gauge({
    name: 'smtp_relay_config_generation',
    help: 'The generation of the configuration that is in force, counted from 1 at the start',
    registers,
  });
  const loadedAt = new Gauge({
    name: 'smtp_relay_config_last_reload_success_timestamp_seconds',
    help: 'When the configuration that is in force was loaded',
    registers,
  });
  const successful = new Gauge({
    name: 'smtp_relay_config_last_reload_successful',
    help: '1 where the mounted files are in force; 0 where they could not be used, and the last good ones stay',
    registers,
  });
  const failures = new Counter({
    name: 'smtp_relay_config_reload_failures_total',
    help: 'How often changed files could not be used',
    registers,
  });
  const pending = new Gauge({
    name: 'smtp_relay_config_restart_pending_settings',
    help: 'Settings whose new values count after a restart only',
    registers,
  });
  return {
    loaded(number, at, restartToApply) {
      generation.set(number);
      loadedAt.set(at.getTime() / 1000);
      successful.set(1);
      pending.set(restartToApply);
    },
    failed() {
      successful.set(0);
      failures.inc();
    },
  };
}
