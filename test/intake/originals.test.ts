import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { freePort } from '../../dev/ports.ts';
import { startSqs } from '../../dev/sqs.ts';
import { createBucket } from '../support/bucket.ts';
import { eventually } from '../support/eventually.ts';
import { base64Lines } from '../support/mail.ts';
import { scrape } from '../support/metrics.ts';
import { type RelayOptions, startRelay, type TestRelay } from '../support/relay.ts';
import { emailIdOf, type Reply, SmtpClient } from '../support/smtp-client.ts';

function messageOf(relay: TestRelay, size: number, ...headers: readonly string[]): string {
  const header = [`From: a@${relay.owner.domain}`, 'To: b@example.com', 'Subject: Hello', ...headers];
  return `${header.join('\r\n')}\r\n\r\n${base64Lines(randomBytes(size))}`;
}

async function submit(t: TestContext, relay: TestRelay, data: string, expected = '250 '): Promise<Reply> {
  const client = await SmtpClient.loggedIn(t, relay);
  const reply = await client.transact({ from: `a@${relay.owner.domain}`, to: ['b@example.com'], data }, expected);
  client.destroy();
  return reply;
}

const ROW = `
  select raw, object_url, encode(sha256, 'hex') as sha256, size_bytes, names, due_at
    from smtp_relay_messages left join smtp_relay_objects using (object_url) where email_id = $1`;

const start = (t: TestContext, settings: RelayOptions['settings']) =>
  startRelay(t, { tls: false, queue: false, settings: { ...settings } });

describe('originals in object storage', () => {
  it('are those of large messages, whose rows name them', async t => {
    const bucket = await createBucket(t);
    const relay = await start(t, bucket.settings);
    const rowOf = async (reply: Reply) => (await relay.db.query(ROW, [emailIdOf(reply)])).rows[0];
    const large = messageOf(relay, 300_000);
    const reply = await submit(t, relay, large);
    const { raw, ...row } = await rowOf(reply);
    const [key = ''] = await bucket.keys();
    const bytes = Buffer.from(`${large}\r\n`);
    assert.ok((await bucket.bytesOf(key)).equals(bytes));
    assert.equal(key, `${new Date().toISOString().slice(0, 10).replaceAll('-', '/')}/${emailIdOf(reply)}.eml`);
    assert.equal(raw.length, 0);
    assert.deepEqual(row, {
      object_url: `s3://${bucket.name}/${key}`,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      size_bytes: bytes.length,
      names: 1,
      due_at: null,
    });

    const small = messageOf(relay, 100_000);
    const other = await rowOf(await submit(t, relay, small));
    assert.deepEqual([String(other.raw), other.object_url], [`${small}\r\n`, null]);
    assert.equal((await bucket.keys()).length, 1);
  });

  it('of messages that come to nothing are written down, to be removed', async t => {
    const bucket = await createBucket(t);
    const relay = await start(t, { ...bucket.settings, 'limits.messagesPerMinute': 2 });
    const objects = async () =>
      (await relay.db.query('select names, due_at > now() as later from smtp_relay_objects order by names desc')).rows;
    const header = 'X-OpenSend-Idempotency-Key: once';
    const large = messageOf(relay, 300_000, header);
    const first = await submit(t, relay, large);
    // Known before anything is stored.
    assert.equal(emailIdOf(await submit(t, relay, large)), emailIdOf(first));
    assert.deepEqual(await objects(), [{ names: 1, later: null }]);

    await submit(t, relay, messageOf(relay, 300_000));
    await submit(t, relay, messageOf(relay, 300_000), '450 4.7.1');
    const named = { names: 1, later: null };
    assert.deepEqual(await objects(), [named, named, { names: 0, later: true }]);
  });

  it('cannot be named any more once they are being removed', async t => {
    const bucket = await createBucket(t);
    const relay = await start(t, bucket.settings);
    await relay.db.query(`
      create function condemn() returns trigger language plpgsql as 'begin new.names := -1; return new; end';
      create trigger condemn before insert on smtp_relay_objects for each row execute function condemn();`);
    await submit(t, relay, messageOf(relay, 300_000), '451 4.3.0');
    assert.equal((await relay.db.query('select from emails')).rowCount, 0);
    assert.equal((await relay.db.query('select from smtp_relay_messages')).rowCount, 0);
  });

  it('are wanted no more when the client has gone, and so is what is on its way', async t => {
    const sockets: Socket[] = [];
    // Takes all, and says nothing.
    const server = createServer(socket => void sockets.push(socket.resume().on('error', () => {})));
    t.after(() => void server.close());
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const settings = {
      pipeline: 'standalone',
      'originals.store': 's3',
      'originals.s3.bucket': 'b',
      'originals.s3.endpoint': `http://127.0.0.1:${port}`,
    };
    const relay = await start(t, settings);
    const from = `a@${relay.owner.domain}`;
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command(`MAIL FROM:<${from}>`, '250 ');
    await client.command('RCPT TO:<b@example.com>', '250 ');
    await client.command('DATA', '354 ');
    client.socket.write(`${messageOf(relay, 300_000)}\r\n.\r\n`);
    await eventually(() => sockets.length > 0);
    client.reset();
    await eventually(() => sockets.every(({ closed }) => closed));
    assert.equal(sockets.length, 1, 'left to itself it would have been tried again');
    assert.equal(relay.logs.filter(({ msg }) => msg.startsWith('object storage does not take')).length, 0);
    assert.equal((await relay.db.query('select from smtp_relay_messages')).rowCount, 0);
  });

  it('keep large messages out while the storage is away, and small ones go on', async t => {
    const [httpPort, port] = [await freePort(), await freePort()];
    const endpoint = `http://127.0.0.1:${port}`;
    const away = {
      pipeline: 'standalone',
      'originals.store': 's3',
      'originals.s3.endpoint': endpoint,
      'originals.s3.bucket': 'none-yet',
    };
    const relay = await start(t, { ...away, httpPort, httpHost: '127.0.0.1' });
    const refused = await submit(t, relay, messageOf(relay, 300_000), '452 4.3.1');
    assert.match(refused.last, /more than 262144 bytes cannot be stored at this moment: try again later/);
    await submit(t, relay, messageOf(relay, 300_000), '452 4.3.1');
    await submit(t, relay, messageOf(relay, 1_000));
    assert.equal((await relay.db.query('select from emails')).rowCount, 1);
    assert.equal(relay.logs.filter(({ msg }) => msg.startsWith('object storage does not take originals')).length, 1);
    const get = async (path: string) => (await fetch(`http://127.0.0.1:${httpPort}${path}`)).json();
    assert.equal((await scrape(relay)).get('smtp_relay_originals_away'), 1);
    assert.equal(((await get('/readyz')) as { ok: boolean }).ok, true);
    const { status, dependencies } = (await get('/healthz')) as {
      status: string;
      dependencies: Record<string, { ok: boolean }>;
    };
    assert.deepEqual([status, dependencies['s3']?.ok, dependencies['postgres']?.ok], ['degraded', false, true]);

    const storage = await startSqs({ port });
    t.after(() => storage.stop());
    const { client } = await createBucket(t, endpoint);
    const { CreateBucketCommand } = await import('@aws-sdk/client-s3');
    await client.send(new CreateBucketCommand({ Bucket: 'none-yet' }));
    await eventually(async () => {
      const reply = await submit(t, relay, messageOf(relay, 300_000), '');
      return reply.code === 250;
    });
    assert.equal((await scrape(relay)).get('smtp_relay_originals_away'), 0);
    assert.ok(relay.logs.some(({ msg }) => msg === 'object storage takes originals again'));
  });
});
