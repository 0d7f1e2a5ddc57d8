import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Counter, Gauge } from 'prom-client';
import { createExposition, createRegistry } from '../../src/observability/metrics.ts';
import { newTrace, traceContext } from '../../src/observability/tracing.ts';
import { createSmtpMetrics } from '../../src/smtp/metrics.ts';

/** As Prometheus 3 asks. */
const PROMETHEUS =
  'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2';
const TRACE = traceContext('4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', true);

describe('the exposition', () => {
  it('shows who takes OpenMetrics the trace of the newest message of each bucket, where it is recorded', async () => {
    const registry = createRegistry();
    const expose = createExposition(registry);
    const { accepted } = createSmtpMetrics(registry);
    new Gauge({ name: 'smtp_relay_connections', help: 'Open.', registers: [registry] });
    accepted(0.02, TRACE);
    accepted(7, newTrace());
    const { contentType, text } = await expose(PROMETHEUS);
    assert.match(contentType, /^application\/openmetrics-text; version=1\.0\.0/);
    const buckets = text.split('\n').filter(line => line.startsWith('smtp_relay_acceptance_duration_seconds_bucket'));
    const withTrace = buckets.filter(line => line.includes(' # '));
    assert.equal(withTrace.length, 1);
    assert.match(
      withTrace[0] ?? '',
      /_bucket\{le="0\.025"\} 1 # \{trace_id="4bf92f3577b34da6a3ce929d0e0e4736"\} 0\.02 \d+\.?\d*$/,
    );
    assert.match(text, /^# TYPE smtp_relay_logins counter\nsmtp_relay_logins_total\{result="succeeded"\} 0$/m);
    // `smtp_relay_connections` is another metric's name.
    assert.match(text, /^# TYPE smtp_relay_connections_total unknown\nsmtp_relay_connections_total 0$/m);
    const families = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
    assert.equal(new Set(families).size, families.length);
    assert.match(text, /# EOF\n$/);
  });

  it('is plain for all others, whatever was asked for before or meanwhile', async () => {
    const registry = createRegistry();
    const expose = createExposition(registry);
    createSmtpMetrics(registry).accepted(0.02, TRACE);
    new Counter({ name: 'seen_total', help: 'Seen.', registers: [registry] }).inc(3);
    new Gauge({ name: 'slow', help: 'Slow.', registers: [registry], collect: () => delay(20) });
    const answers = await Promise.all([PROMETHEUS, undefined, PROMETHEUS, 'text/plain', '*/*'].map(expose));
    for (const { contentType, text } of [1, 3, 4].map(index => answers[index] ?? assert.fail())) {
      assert.match(contentType, /^text\/plain; version=0\.0\.4/);
      assert.match(text, /^# TYPE seen_total counter\nseen_total 3$/m);
      assert.doesNotMatch(text, / # |# EOF/);
    }
    assert.equal(answers[0]?.text, answers[2]?.text);
    assert.match(answers[0]?.text ?? '', /^seen_total 3$/m);
    assert.match(await registry.metrics(), /^seen_total 3$/m);
  });

  it('shows the others after an answer that failed', async () => {
    const registry = createRegistry();
    const expose = createExposition(registry);
    let broken = true;
    const collect = () => {
      if (broken) throw new Error('broken');
    };
    new Counter({ name: 'seen_total', help: 'Seen.', registers: [registry], collect });
    await assert.rejects(expose(PROMETHEUS), /broken/);
    broken = false;
    assert.match((await expose(undefined)).text, /^seen_total 0$/m);
  });
});
