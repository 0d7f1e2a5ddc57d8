import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { isTracingWanted } from '../../src/observability/start-tracing.ts';
import { spawnRelay } from '../faults/support/relay-process.ts';
import { createDatabase } from '../support/database.ts';
import { seedOwner } from '../support/owner.ts';
import { openPool } from '../support/pool.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { startCollector } from './support/otlp.ts';

const COUNT = new URL('./support/count-opentelemetry.ts', import.meta.url).href;

interface Run {
  /** How many modules of OpenTelemetry it loaded. */
  readonly modules: number;
  /** Milliseconds from SIGTERM to its end. */
  readonly stopTime: number;
}

/** Starts a relay, sends a message and ends the relay. */
async function runOnce(t: TestContext, env: Readonly<Record<string, string>>): Promise<Run> {
  const databaseUrl = await createDatabase(t, { pipeline: 'opensend' });
  const db = openPool(databaseUrl, 1);
  const owner = await seedOwner(db);
  await db.end();
  const relay = spawnRelay(t, {
    DATABASE_URL: databaseUrl,
    SMTP_RELAY_PORT: '0',
    SMTP_RELAY_HOST: '127.0.0.1',
    SMTP_RELAY_DRAIN_DELAY: '0s',
    NODE_OPTIONS: `--import=${COUNT}`,
    ...env,
  });
  await relay.listening();
  const client = await SmtpClient.loggedIn(t, { ...relay, port: relay.port, owner });
  const data = `${messageFrom('hello@acme.test')}\r\n`;
  await client.transact({ from: 'hello@acme.test', to: ['a@example.com'], data }, '250 ');
  const began = performance.now();
  assert.equal(await relay.end('SIGTERM'), 0);
  const stopTime = performance.now() - began;
  const line = relay.logs.find(({ msg }) => msg === 'opentelemetry');
  return { modules: Number(line?.['modules']), stopTime };
}

describe('tracing in a process', { concurrency: true }, () => {
  it('is not even loaded where nobody asked for it', async t => {
    assert.equal((await runOnce(t, {})).modules, 0);
  });

  it('sends its last spans at SIGTERM, by the protocol that is the default', async t => {
    const collector = await startCollector(t);
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      // Longer than the relay lives.
      OTEL_BSP_SCHEDULE_DELAY: '600000',
      OTEL_SERVICE_NAME: 'my-relay',
    };
    assert.ok((await runOnce(t, env)).modules > 0);
    const [request, ...others] = collector.bodies;
    assert.equal(others.length, 0);
    assert.equal(request?.type, 'application/x-protobuf');
    for (const word of ['smtp receive', 'store', 'my-relay']) assert.ok(request?.body.includes(word), word);
  });

  it('samples as it is told, and what is not sampled is not sent', async t => {
    const collector = await startCollector(t);
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0',
    };
    assert.ok((await runOnce(t, env)).modules > 0);
    assert.equal(collector.bodies.length, 0);
  });

  it('does not hold up the end where the collector is away', async t => {
    // Nobody listens there, and the SDK would try for two minutes.
    const { modules, stopTime } = await runOnce(t, {
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
      OTEL_EXPORTER_OTLP_TIMEOUT: '120000',
      OTEL_BSP_EXPORT_TIMEOUT: '120000',
    });
    assert.ok(modules > 0);
    assert.ok(stopTime < 60_000, `${stopTime} ms`);
  });
});

describe('whether to trace', () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };
  for (const [env, wanted] of [
    [{}, false],
    [{ OTEL_SERVICE_NAME: 'x', OTEL_TRACES_SAMPLER: 'always_on' }, false],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }, false],
    [endpoint, true],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://collector:4318/v1/traces' }, true],
    [{ OTEL_TRACES_EXPORTER: 'console' }, true],
    [{ OTEL_TRACES_EXPORTER: 'otlp' }, true],
    [{ ...endpoint, OTEL_TRACES_EXPORTER: 'none' }, false],
    [{ ...endpoint, OTEL_SDK_DISABLED: 'TRUE' }, false],
    [{ ...endpoint, OTEL_SDK_DISABLED: 'false' }, true],
  ] as const) {
    it(`${wanted ? 'yes' : 'no'} with ${JSON.stringify(env)}`, () => assert.equal(isTracingWanted(env), wanted));
  }
});
