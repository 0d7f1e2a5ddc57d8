import assert from 'node:assert/strict';
import { it } from 'node:test';
import { freePort } from '../../dev/ports.ts';
import { createOwnPostgres } from '../faults/support/own-postgres.ts';
import { eventually } from '../support/eventually.ts';
import { startRelay } from '../support/relay.ts';
import { startWorker } from '../support/worker.ts';

async function look(port: number, path: string) {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: response.status, body: JSON.parse(await response.text()) };
}

it('Postgres and SQS are both away: relay and worker stay alive and ready, and say what is wrong', async t => {
  const postgres = await createOwnPostgres(t, { pipeline: 'standalone' });
  const nowhere = `http://127.0.0.1:${await freePort()}`;
  const queueUrl = `${nowhere}/000000000000/jobs`;
  const settings = { pipeline: 'standalone', queueUrl, sqsEndpoint: nowhere, httpHost: '127.0.0.1' };
  const ports = { relay: await freePort(), worker: await freePort() };
  await startRelay(t, {
    shareWith: postgres,
    queue: false,
    settings: { ...settings, httpPort: ports.relay },
  });
  const { databaseUrl } = postgres;
  await startWorker(t, { databaseUrl, settings: { ...settings, httpPort: ports.worker } });
  await postgres.server.stop();
  for (const [role, port] of Object.entries(ports)) {
    const { status, body } = await eventually(async () => {
      const health = await look(port, '/healthz');
      assert.equal(health.body.dependencies.postgres.ok, false);
      return health;
    });
    assert.deepEqual([status, body.status, body.role], [200, 'degraded', role]);
    assert.deepEqual(Object.keys(body.dependencies), ['postgres', 'sqs']);
    for (const { ok, latencyMs, lastError } of Object.values<Report>(body.dependencies)) {
      assert.equal(ok, false);
      assert.equal(typeof latencyMs, 'number');
      assert.match(lastError.class, /^\w+$/);
    }
    for (const path of ['/livez', '/readyz']) {
      assert.deepEqual(await look(port, path), { status: 200, body: { ok: true, reasons: [] } }, `${role} ${path}`);
    }
  }
});

interface Report {
  readonly ok: boolean;
  readonly latencyMs: number;
  readonly lastError: { readonly class: string };
}
