/** Measures what a message costs the database where its original is kept in it, and in object storage; see README.md beside this file. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import pg from 'pg';
import { sqsEnvironment } from '../dev/sqs.ts';
import { generate } from './support/measure.ts';
import { startRelay } from './support/relay.ts';
import { type Stage, type System, startSystem } from './support/system.ts';

const HELP = `Usage: node bin/node24.js bench/originals.ts [options]

  --sizes <list>   bytes of a message, separated by commas (300000,1000000,7000000,30000000)
  --seconds <n>    how long each is measured (5)
`;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean' },
    sizes: { type: 'string', default: '300000,1000000,7000000,30000000' },
    seconds: { type: 'string', default: '5' },
  },
});

const CONNECTIONS = 4;
const BUCKET = 'originals';
const STORES = {
  postgres: {},
  s3: { SMTP_RELAY_ORIGINALS_STORE: 's3', SMTP_RELAY_ORIGINALS_S3_BUCKET: BUCKET },
} as const;

/** What is kept for good: jobs and counts come and go. */
const SIZE = `
  select sum(pg_total_relation_size(name::regclass))::float8 as bytes, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 as log
    from unnest(array['emails', 'smtp_relay_messages', 'smtp_relay_objects']) as name`;

interface Size {
  readonly bytes: number;
  readonly log: number;
}

async function sizeOf({ databaseUrl }: Stage): Promise<Size> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  const { rows } = await client.query<Size>(SIZE);
  await client.end();
  return rows[0] as Size;
}

async function measure(system: System, store: keyof typeof STORES, size: number, directory: string): Promise<string> {
  const stage = await system.prepare(`originals ${store} ${size}`, 'standalone');
  const env = { ...STORES[store], AWS_ENDPOINT_URL_S3: system.sqsEndpoint };
  const relay = await startRelay({ system, stage, pipeline: 'standalone', tls: false, directory, profile: false, env });
  try {
    const target = { host: '127.0.0.1', port: relay.port, key: stage.key };
    const message = { kind: 'attachment', size } as const;
    const load = { target, message, connections: CONNECTIONS, pipelining: false, warmUpSeconds: 1 };
    // The first pages of each table and index are not a message's.
    await generate({ ...load, name: 'first', seconds: 1 }, () => {});
    const [before, cpu] = [await sizeOf(stage), relay.usage().cpuSeconds];
    const { accepted, refusals } = await generate({ ...load, name: 'load', seconds: Number(values.seconds) }, () => {});
    const [after, { cpuSeconds, peakBytes }] = [await sizeOf(stage), relay.usage()];
    if (Object.keys(refusals).length > 0) throw new Error(JSON.stringify(refusals));
    const each = (bytes: number) => (bytes / accepted / 1000).toFixed(1);
    const costs = [each(after.bytes - before.bytes), each(after.log - before.log)];
    const relayCosts = [((1000 * (cpuSeconds - cpu)) / accepted).toFixed(0), (peakBytes / 1e6).toFixed(0)];
    return `| ${[(size / 1000).toFixed(0), store, accepted, ...costs, ...relayCosts].join(' | ')} |`;
  } finally {
    await relay.stop();
    await stage.remove();
  }
}

async function main(): Promise<void> {
  if (values.help) return void process.stdout.write(HELP);
  const system = await startSystem();
  const directory = await mkdtemp(join(tmpdir(), 'smtp-relay-bench-'));
  try {
    Object.assign(process.env, sqsEnvironment(system.sqsEndpoint));
    const client = new S3Client({ endpoint: system.sqsEndpoint, forcePathStyle: true });
    await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
    client.destroy();
    console.log(
      '| message, KB | kept in | messages | database, KB each | write-ahead log, KB each | CPU s/1000 | peak RSS MB |',
    );
    console.log('| ---: | --- | ---: | ---: | ---: | ---: | ---: |');
    for (const size of values.sizes.split(',').map(Number)) {
      for (const store of ['postgres', 's3'] as const) console.log(await measure(system, store, size, directory));
    }
  } finally {
    await system.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

await main();
