import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import { pino } from 'pino';
import { createHousekeepingMetrics, Housekeeping } from '../../src/maintenance/housekeeping.ts';
import { createObjectMetrics, ObjectStore } from '../../src/objects/store.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { resendEmail } from '../../src/store/emails/actions.ts';
import { removeMessages } from '../../src/store/inbox/remove.ts';
import { applyRetention } from '../../src/store/retention/retention.ts';
import { createBucket, type TestBucket } from '../support/bucket.ts';
import { eventually } from '../support/eventually.ts';
import { base64Lines } from '../support/mail.ts';
import { startRelay } from '../support/relay.ts';
import { emailIdOf, SmtpClient } from '../support/smtp-client.ts';
import { startWorker } from '../support/worker.ts';

const FOREVER = Number.POSITIVE_INFINITY;
/** In memory, and read while it goes out. */
const SIZES = [300_000, 3_000_000];

/** A look has ended, and the next one is due soon. */
const LOOKED = `
  select from smtp_relay_settings where key = 'turn.objects' and value::timestamptz < now() + interval '1 minute'`;

/** A relay and a worker that keep originals in a bucket, and what was sent. */
async function start(t: TestContext, settings: TestBucket['settings'] = {}) {
  const bucket = await createBucket(t);
  const both = { ...bucket.settings, receivedHeader: 'off', ...settings };
  const relay = await startRelay(t, { tls: false, queue: false, settings: both });
  const worker = await startWorker(t, { databaseUrl: relay.databaseUrl, settings: both });
  const client = await SmtpClient.loggedIn(t, relay);
  const from = `a@${relay.owner.domain}`;
  const send = async (size: number) => {
    const header = [`From: ${from}`, 'Date: Mon, 23 Nov 2026 10:00:00 +0000', `Message-ID: <${size}@x>`];
    const data = `${header.join('\r\n')}\r\nTo: b@example.com\r\nSubject: Hello\r\n\r\n${base64Lines(randomBytes(size))}`;
    const id = emailIdOf(await client.transact({ from, to: ['b@example.com'], data }, '250 '));
    return { id, raw: Buffer.from(`${data}\r\n`) };
  };
  const sentOf = async (id: string) => {
    const captured = await eventually(async () =>
      (await worker.captured()).find(({ envelope }) => envelope.emailId === id),
    );
    await eventually(async () => (await statusOf(id)) === 'sent');
    return captured?.raw ?? Buffer.alloc(0);
  };
  const statusOf = async (id: string) =>
    (await relay.db.query('select status from emails where id = $1', [id])).rows[0]?.status;
  const names = async () =>
    (await relay.db.query('select names from smtp_relay_objects order by object_url')).rows.map(row => row.names);
  return { bucket, relay, worker, send, sentOf, statusOf, names };
}

describe('originals in object storage', () => {
  it('go out as they came in', async t => {
    const { bucket, send, sentOf } = await start(t);
    for (const size of SIZES) {
      const { id, raw } = await send(size);
      assert.ok((await sentOf(id)).equals(raw), `${size}`);
    }
    assert.equal((await bucket.keys()).length, SIZES.length);
  });

  it('are found by a worker that keeps new ones in the database', async t => {
    const { relay, worker, send } = await start(t);
    await worker.stop();
    const { id, raw } = await send(3_000_000);
    const settings = { 'originals.s3.endpoint': relay.config.originals.s3.endpoint, receivedHeader: 'off' };
    const other = await startWorker(t, { databaseUrl: relay.databaseUrl, settings });
    const captured = await eventually(async () => (await other.captured())[0]);
    assert.equal(captured?.envelope.emailId, id);
    assert.ok(captured.raw.equals(raw));
  });

  it('wait while the storage is away, and a message whose object is gone has failed', async t => {
    const { bucket, relay, worker, send, statusOf } = await start(t, { 'retries.firstPause': 200 });
    await worker.stop();
    const kept = await send(300_000);
    const gone = await send(400_000);
    const url = `s3://${bucket.name}/no/such/object`;
    await relay.db.query('update smtp_relay_messages set object_url = $2 where email_id = $1', [gone.id, url]);
    const settings = { receivedHeader: 'off', 'retries.firstPause': 200, 'retries.longestPause': 200 };
    const away = { ...settings, 'originals.s3.endpoint': 'http://127.0.0.1:1' };
    const lost = await startWorker(t, { databaseUrl: relay.databaseUrl, settings: away });
    await eventually(() => lost.logs.some(({ msg, emailId }) => msg === 'message retry' && emailId === kept.id));
    await lost.stop();
    assert.equal(await statusOf(kept.id), 'queued');
    const back = { ...settings, 'originals.s3.endpoint': relay.config.originals.s3.endpoint };
    await startWorker(t, { databaseUrl: relay.databaseUrl, settings: back });
    await eventually(async () => (await statusOf(kept.id)) === 'sent');
    await eventually(async () => (await statusOf(gone.id)) === 'failed');
  });

  it('are named by each copy, and removed some time after the last of them', async t => {
    const { bucket, relay, send, sentOf, names } = await start(t);
    const { id, raw } = await send(300_000);
    await sentOf(id);
    const copy = await resendEmail(relay.db, id, { failedOnly: false, twice: true });
    assert.ok((await sentOf(copy.id)).equals(raw));
    assert.deepEqual(await names(), [2]);

    const clean = async () => {
      await relay.db.query("delete from smtp_relay_settings where key = 'turn.objects'");
      const housekeeping = startHousekeeping(t, relay.db, bucket);
      await eventually(async () => (await relay.db.query(LOOKED)).rowCount === 1);
      await housekeeping.stop();
    };
    const retain = (raw: number) =>
      applyRetention({
        db: relay.db,
        periods: { raw, bodies: FOREVER, events: FOREVER, deliveries: FOREVER, messages: FOREVER },
        signal: new AbortController().signal,
      });
    await relay.db.query("update smtp_relay_messages set created_at = now() - interval '2 days' where email_id = $1", [
      id,
    ]);
    assert.equal((await retain(86_400_000)).raw, 1);
    assert.deepEqual(await names(), [1]);
    await clean();
    assert.equal((await bucket.keys()).length, 1);

    await relay.db.query("update emails set created_at = now() - interval '2 days'");
    const periods = { raw: FOREVER, bodies: FOREVER, events: FOREVER, deliveries: FOREVER, messages: 86_400_000 };
    const all = await applyRetention({ db: relay.db, periods, signal: new AbortController().signal });
    assert.equal(all.messages, 2);
    assert.deepEqual(await names(), [0]);
    await clean();
    assert.equal((await bucket.keys()).length, 1, 'it is not its time yet');
    await relay.db.query("update smtp_relay_objects set due_at = now() - interval '1 second'");
    await clean();
    assert.deepEqual(await bucket.keys(), []);
    assert.deepEqual(await names(), []);
  });

  it('are named no more by what was deleted in the inbox', async t => {
    const { relay, send, sentOf, names } = await start(t);
    const { id } = await send(300_000);
    await sentOf(id);
    assert.deepEqual(await names(), [1]);
    await eventually(async () => (await removeMessages(relay.db, [id], false)).length === 1);
    assert.deepEqual(await names(), [0]);
    const { rows } = await relay.db.query('select due_at > now() as "isDue" from smtp_relay_objects');
    assert.deepEqual(rows, [{ isDue: true }]);
  });
});

function startHousekeeping(t: TestContext, db: Parameters<typeof resendEmail>[0], bucket: TestBucket) {
  const registry = createRegistry();
  const options = { bucket: bucket.name, prefix: '', region: 'us-east-1', encryption: 'bucket', kmsKeyId: '' } as const;
  const endpoint = String(bucket.settings['originals.s3.endpoint']);
  const objects = new ObjectStore({ ...options, endpoint }, createObjectMetrics(registry));
  t.after(() => objects.close());
  const housekeeping = new Housekeeping({
    db,
    objects,
    periods: { raw: FOREVER, bodies: FOREVER, events: FOREVER, deliveries: FOREVER },
    republishAfter: 600_000,
    objectsInterval: 50,
    metrics: createHousekeepingMetrics(registry),
    logger: pino({ level: 'silent' }),
  });
  housekeeping.start();
  return housekeeping;
}
