import { randomBytes } from 'node:crypto';
import { env } from 'node:process';
import { CreateBucketCommand, GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import type { SettingName } from '../../src/config/schema.ts';
import { shared } from './environment.ts';
import { sqsEnv } from './queue.ts';

interface TestContext {
  after(fn: () => Promise<void> | void): void;
}

export interface TestBucket {
  readonly name: string;
  readonly client: S3Client;
  /** For a relay or worker of the pipeline standalone that keeps originals in it. */
  readonly settings: Readonly<Partial<Record<SettingName, unknown>>>;
  /** In their order. */
  keys(): Promise<string[]>;
  bytesOf(key: string): Promise<Buffer>;
}

/** A bucket of the test's own. @param endpoint of the emulator; the run's own unless given */
export async function createBucket(t: TestContext, endpoint = shared('sqsEndpoint')): Promise<TestBucket> {
  // The program under test finds its credentials nowhere else.
  Object.assign(env, sqsEnv());
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true });
  t.after(() => client.destroy());
  const name = `test-${randomBytes(8).toString('hex')}`;
  await client.send(new CreateBucketCommand({ Bucket: name }));
  return {
    name,
    client,
    settings: {
      pipeline: 'standalone',
      'originals.store': 's3',
      'originals.s3.bucket': name,
      'originals.s3.endpoint': endpoint,
    },
    async keys() {
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: name }));
      return Contents.map(({ Key = '' }) => Key);
    },
    async bytesOf(key) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: name, Key: key }));
      return Buffer.from((await Body?.transformToByteArray()) ?? []);
    },
  };
}
