import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { HeadObjectCommand, ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { ByteCollector, type MessageBytes, sha256Here } from '../../src/message/bytes.ts';
import { type ObjectStoreOptions, urlFor } from '../../src/objects/location.ts';
import { createObjectMetrics, ObjectStore } from '../../src/objects/store.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { createBucket, type TestBucket } from '../support/bucket.ts';
import { shared } from '../support/environment.ts';
import { eventually } from '../support/eventually.ts';
import { startMoto } from '../support/moto.ts';
import { needs } from '../support/needs.ts';

const never = new AbortController().signal;
const MIB = 1024 * 1024;

function open(t: TestContext, options: Partial<ObjectStoreOptions> & { endpoint: string; bucket: string }) {
  const registry = createRegistry();
  const all = { prefix: '', region: 'us-east-1', encryption: 'bucket', kmsKeyId: '', ...options } as const;
  const store = new ObjectStore(all, createObjectMetrics(registry));
  t.after(() => store.close());
  const put = (url: string, bytes: MessageBytes, signal = never) => store.put(url, bytes, sha256Here(bytes), signal);
  return { store, put, registry };
}

/** As a message of these bytes is when it has arrived. */
function received(bytes: Buffer): MessageBytes {
  const collector = new ByteCollector();
  collector.add(Buffer.copyBytesFrom(bytes));
  return collector.takeBlocks();
}

/** Emulators by others than us, and by others than each other. */
const EMULATORS = [
  { name: 'fauxqs', skip: false, start: async () => shared('sqsEndpoint') },
  { name: 'moto', skip: needs('moto'), start: startMoto },
] as const;

for (const { name, skip, start } of EMULATORS) {
  describe(`the object store with ${name}`, { skip }, () => {
    const started = async (t: TestContext): Promise<{ bucket: TestBucket; endpoint: string }> => {
      const endpoint = await start(t);
      return { endpoint, bucket: await createBucket(t, endpoint) };
    };

    it('keeps bytes, in one piece or in parts, and gives any stretch of them', async t => {
      const { bucket, endpoint } = await started(t);
      const { store, put, registry } = open(t, { endpoint, bucket: bucket.name, prefix: 'mail' });
      for (const size of [1, 300_000, 8 * MIB, 20 * MIB + 17]) {
        const bytes = randomBytes(size);
        const url = store.urlFor(`of-${size}`, new Date('2026-11-29T23:59:59.999Z'));
        assert.equal(url, `s3://${bucket.name}/mail/2026/11/29/of-${size}.eml`);
        await put(url, bytes);
        assert.ok((await bucket.bytesOf(`mail/2026/11/29/of-${size}.eml`)).equals(bytes), `${size}`);
        await put(`${url}-received`, received(bytes));
        assert.ok((await bucket.bytesOf(`mail/2026/11/29/of-${size}.eml-received`)).equals(bytes), `${size} received`);
        for (const [from, length] of [
          [0, size],
          [0, size + 10],
          [size - 1, 1],
          [Math.floor(size / 2), 384 * 1024],
          [size, 10],
        ] as const) {
          const read = await store.read(url, from, length);
          assert.ok(read?.equals(bytes.subarray(from, from + length)), `${size}: ${from} ${length}`);
        }
      }
      assert.match(await registry.metrics(), /duration_seconds_count\{operation="put",outcome="ok"\} 8\n/);
    });

    it('says of what is not there that it is not there, and removes', async t => {
      const { bucket, endpoint } = await started(t);
      const { store, put } = open(t, { endpoint, bucket: bucket.name });
      const urls = ['a', 'b', 'c'].map(id => store.urlFor(id, new Date()));
      for (const url of urls) await put(url, Buffer.from(url));
      const [first = '', second = '', third = ''] = urls;
      assert.deepEqual(await store.remove([first, second]), [first, second]);
      assert.equal(await store.read(first, 0, 10), null);
      assert.equal(String(await store.read(third, 0, 2)), 's3');
      assert.deepEqual(await store.remove([first]), [first], 'what is gone already is gone');
    });

    it('is well where the bucket answers', async t => {
      const { bucket, endpoint } = await started(t);
      await open(t, { endpoint, bucket: bucket.name }).store.check();
      await assert.rejects(open(t, { endpoint, bucket: 'no-such-bucket' }).store.check());
    });
  });
}

describe('what the object store tells S3', { skip: needs('moto') }, () => {
  it('is how to encrypt', async t => {
    const endpoint = await startMoto(t);
    const bucket = await createBucket(t, endpoint);
    const options = { endpoint, bucket: bucket.name };
    const cases = [
      [{ encryption: 'AES256' }, 'AES256', undefined],
      [{ encryption: 'aws:kms', kmsKeyId: 'alias/mail' }, 'aws:kms', 'alias/mail'],
    ] as const;
    for (const [encryption, algorithm, key] of cases) {
      const { store, put } = open(t, { ...options, ...encryption });
      for (const size of [1_000, 9 * MIB]) {
        await put(store.urlFor('x', new Date(0)), randomBytes(size));
        const Key = '1970/01/01/x.eml';
        const head = await bucket.client.send(new HeadObjectCommand({ Bucket: bucket.name, Key }));
        assert.deepEqual([head.ServerSideEncryption, head.SSEKMSKeyId], [algorithm, key]);
      }
    }
  });

  it('is, of an upload that is called off, that its parts are not wanted', async t => {
    const endpoint = await startMoto(t);
    const bucket = await createBucket(t, endpoint);
    const { store, put, registry } = open(t, { endpoint, bucket: bucket.name });
    const callOff = new AbortController();
    const uploads = async () => {
      const { Uploads = [] } = await bucket.client.send(new ListMultipartUploadsCommand({ Bucket: bucket.name }));
      return Uploads.length;
    };
    const under = put(store.urlFor('x', new Date()), randomBytes(60 * MIB), callOff.signal);
    const ended = assert.rejects(under, /nobody waits/);
    await eventually(async () => (await uploads()) === 1);
    callOff.abort(new Error('nobody waits'));
    await ended;
    await eventually(async () => (await uploads()) === 0);
    assert.deepEqual(await bucket.keys(), []);
    assert.match(await registry.metrics(), /operation="put",outcome="called_off"\} 1\n/);
  });
});

describe('an object store', () => {
  it('sends the hash of what it sends, of each part where there are parts', async t => {
    const endpoint = shared('sqsEndpoint');
    const bucket = await createBucket(t, endpoint);
    const { store, put } = open(t, { endpoint, bucket: bucket.name });
    const Key = '1970/01/01/x.eml';
    const sumOf = async (bytes: Buffer) => {
      await put(store.urlFor('x', new Date(0)), bytes);
      const head = new HeadObjectCommand({ Bucket: bucket.name, Key, ChecksumMode: 'ENABLED' });
      return (await bucket.client.send(head)).ChecksumSHA256;
    };
    const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest();
    const small = randomBytes(1_000);
    assert.equal(await sumOf(small), hash(small).toString('base64'));
    const large = randomBytes(9 * MIB);
    // S3 hashes the hashes of the parts.
    const parts = Buffer.concat([hash(large.subarray(0, 8 * MIB)), hash(large.subarray(8 * MIB))]);
    assert.equal(await sumOf(large), `${hash(parts).toString('base64')}-2`);
  });
});

describe('an object store that is away', () => {
  it('says so', async t => {
    const server = createServer(socket => socket.destroy()).listen(0, '127.0.0.1');
    await new Promise(resolve => server.once('listening', resolve));
    t.after(() => void server.close());
    const { port } = server.address() as { port: number };
    const { put, registry } = open(t, { endpoint: `http://127.0.0.1:${port}`, bucket: 'b' });
    await assert.rejects(put('s3://b/x', Buffer.from('x')));
    assert.match(await registry.metrics(), /operation="put",outcome="failed"\} 1\n/);
  });

  it('knows its locations by their form', () => {
    assert.equal(urlFor({ bucket: 'b', prefix: 'a/b/' }, 'id', new Date(0)), 's3://b/a/b/1970/01/01/id.eml');
  });
});
