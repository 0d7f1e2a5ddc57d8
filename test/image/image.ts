import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { createTransport } from 'nodemailer';
import { freePort } from '../../dev/ports.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { seedOwner } from '../support/owner.ts';
import { withClient } from '../support/postgres-server.ts';
import { createQueue, sqsEnv } from '../support/queue.ts';
import { type Container, compressedSize, engine, images, inspect, runOnce, start } from './support/engine.ts';

/*
 * make test-image
 *
 * The built images, with docker or podman. Not a file of `npm test`: it needs the images.
 */

const LIMIT_BYTES = 150_000_000;
/** Milliseconds, also with nothing compiled before. */
const START_LIMIT = 1_500;
const PATIENCE = 60_000;

interface LockFile {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>;
}

const LIST_FILES = `
  const { readdirSync } = require('node:fs');
  const packages = readdirSync('/app/node_modules', { recursive: true }).filter(path => path.endsWith('package.json'));
  console.log(JSON.stringify({ app: readdirSync('/app').sort(), pages: readdirSync('/app/web'), packages, programs: readdirSync('/usr/local/bin').sort() }));`;

test('the image says who runs it, what it runs and where it comes from', async () => {
  const { Config, Healthcheck = Config.Healthcheck } = await inspect(images.relay);
  assert.equal(Config.User, '1000:1000');
  assert.deepEqual(Config.Entrypoint, ['node', '/app/src/main.ts']);
  assert.deepEqual(Config.Cmd, ['relay']);
  assert.deepEqual(Object.keys(Config.ExposedPorts).sort(), ['2587/tcp', '8025/tcp', '8080/tcp', '8081/tcp']);
  assert.deepEqual(Healthcheck?.Test, ['CMD', 'node', '/app/image/healthcheck.js']);
  assert.ok(Config.Env.includes('MALLOC_MMAP_THRESHOLD_=131072'));
  const { version } = JSON.parse(await readFile('package.json', 'utf8'));
  assert.equal(Config.Labels['org.opencontainers.image.version'], version);
  assert.match(Config.Labels['org.opencontainers.image.base.name'] ?? '', /node/);
});

test('it holds the program, its packages and nothing for development', async () => {
  const found = JSON.parse(await runOnce(images.relay, ['-e', LIST_FILES], ['--entrypoint=node']));
  assert.deepEqual(found.app, ['LICENSE', 'bin', 'compiled', 'image', 'node_modules', 'package.json', 'src', 'web']);
  assert.deepEqual(found.pages, ['built']);
  assert.ok(!found.programs.includes('npm'));
  const { packages }: LockFile = JSON.parse(await readFile('package-lock.json', 'utf8'));
  const present = new Set<string>(
    found.packages.map((path: string) => `node_modules/${path.slice(0, -'/package.json'.length)}`),
  );
  for (const [path, { dev }] of Object.entries(packages)) {
    if (dev) assert.ok(!present.has(path), `${path} is for development`);
  }
  assert.ok(present.has('node_modules/smtp-server'));
});

test('it is small', async t => {
  const bytes = await compressedSize(images.relay);
  t.diagnostic(`compressed: ${(bytes / 1e6).toFixed(1)} MB`);
  assert.ok(bytes < LIMIT_BYTES, `${bytes} bytes`);
});

test('the commands run on a read-only file system, and as another user', async t => {
  assert.match(await runOnce(images.relay, ['--version']), /^\d+\.\d+\.\d+\n$/);
  assert.match(await runOnce(images.relay, ['--version'], ['--user=12345:0']), /^\d+\.\d+\.\d+\n$/);
  const databaseUrl = await createDatabase(t, { empty: true });
  const flags = ['-e', `DATABASE_URL=${databaseUrl}`, '-e', 'SMTP_RELAY_PIPELINE=standalone'];
  assert.match(await runOnce(images.relay, ['migrate'], flags), /^Applied /);
  assert.match(await runOnce(images.relay, ['keys', 'create', '--owner', 'acme'], flags), /os_live_/);
});

test('the relay takes a message, reports its health, writes nothing and ends at SIGTERM', async t => {
  const databaseUrl = await createDatabase(t, { pipeline: 'opensend' });
  const owner = await withClient(databaseUrl, db => seedOwner(db));
  const queue = await createQueue(t);
  const [port, httpPort] = [await freePort(), await freePort()];
  const container = await start(t, images.relay, [], {
    ...sqsEnv(),
    DATABASE_URL: databaseUrl,
    BACKGROUND_JOBS_QUEUE_URL: queue.url,
    SMTP_RELAY_PORT: String(port),
    SMTP_RELAY_HTTP_PORT: String(httpPort),
  });
  await eventually(() => greets(port), PATIENCE);
  const { processor, clock } = await startTime(container);
  t.diagnostic(`start to listening: ${clock} ms, of which ${processor} ms of processor time`);
  // Of the two, other programs on this machine change this one little.
  assert.ok(processor < START_LIMIT, `${processor} ms of processor time`);

  const mail = createTransport({
    host: '127.0.0.1',
    port,
    ignoreTLS: true,
    auth: { user: 'apikey', pass: owner.apiKey },
  });
  const info = await mail.sendMail({ from: `hello@${owner.domain}`, to: 'to@example.com', subject: 'Hi', text: 'Hi' });
  assert.match(info.response, /^250 2\.0\.0 Ok: queued as /);
  let jobs: unknown[] = [];
  await eventually(async () => {
    jobs = await queue.receiveAll();
    return jobs.length > 0;
  });
  assert.equal(jobs.length, 1);

  // What HEALTHCHECK runs, and the program under its own name, as somebody types it in a pod.
  await container.exec('node', '/app/image/healthcheck.js');
  await assert.rejects(
    engine('exec', '-e', 'SMTP_RELAY_HTTP_PORT=1', container.id, 'node', '/app/image/healthcheck.js'),
  );
  assert.match(await container.exec('smtp-relay', 'emails', 'list'), /to@example\.com/);
  assert.equal(await container.exec('node', '-p', '[process.getuid(), process.getgid()].join()'), '1000,1000\n');

  assert.equal(await container.terminate(), 0);
});

test('a command that waits ends at SIGTERM too', async t => {
  const silent = createServer().listen(0, '127.0.0.1');
  t.after(() => silent.close());
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const connected = once(silent, 'connection');
  const container = await start(t, images.relay, ['migrate'], {
    DATABASE_URL: `postgres://nobody@127.0.0.1:${port}/none`,
  });
  const [socket] = (await connected) as [Socket];
  t.after(() => void socket.destroy());
  assert.equal(await container.terminate(), 143);
});

test('the compiled code is used', async () => {
  const output = await runOnce(
    images.relay,
    ['-c', 'node /app/src/main.ts --version 2>&1'],
    ['--entrypoint=sh', '-e', 'NODE_DEBUG_NATIVE=COMPILE_CACHE'],
  );
  assert.match(output, /accepted/, output.slice(0, 2_000));
});

test('the worker starts and ends at SIGTERM', async t => {
  const databaseUrl = await createDatabase(t);
  const environment = { DATABASE_URL: databaseUrl, SMTP_RELAY_PIPELINE: 'standalone', SMTP_RELAY_TRANSPORT: 'capture' };
  const httpPort = await freePort();
  await runOnce(images.relay, ['migrate', '--set-pipeline', 'standalone'], ['-e', `DATABASE_URL=${databaseUrl}`]);
  const container = await start(
    t,
    images.relay,
    ['worker'],
    {
      ...environment,
      SMTP_RELAY_CAPTURE_DIRECTORY: '/captured',
      SMTP_RELAY_HTTP_PORT: String(httpPort),
      SMTP_RELAY_PUBLIC_PORT: '0',
    },
    ['--tmpfs=/captured:rw,mode=1777'],
  );
  const ready = async () => (await fetch(`http://127.0.0.1:${httpPort}/readyz`)).ok;
  await eventually(ready, PATIENCE).catch(async error => {
    throw new Error(await container.logs(), { cause: error });
  });
  assert.equal(await container.terminate(), 0);
});

test('the demo image has a Postgres of its own', async t => {
  const port = await freePort();
  const environment = {
    DEMO_POSTGRES_DIRECTORY: '/data/postgres',
    DEMO_POSTGRES_PASSWORD: "it's one",
    DEMO_POSTGRES_PORT: String(port),
  };
  const container = await start(t, images.demo, ['demo-postgres'], environment, ['--tmpfs=/data:rw,mode=1777']);
  const url = `postgres://postgres:${encodeURIComponent("it's one")}@127.0.0.1:${port}/postgres`;
  await eventually(() => withClient(url, async db => (await db.query('select 1')).rowCount), PATIENCE);
  const settings = ['-e', `DATABASE_URL=${url}`, '-e', 'SMTP_RELAY_PIPELINE=standalone'];
  const output = await runOnce(images.demo, ['migrate'], settings);
  assert.match(output, /^Applied /);
  assert.equal(await container.terminate(), 0);
});

/** Whether an SMTP server answers on the port. */
function greets(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(port, '127.0.0.1');
    socket.on('error', reject);
    socket.once('data', chunk => {
      socket.destroy();
      resolve(chunk.toString().startsWith('220 '));
    });
  });
}

/**
 * How long the start took in milliseconds: by the clock, from when the engine ran the program to its line that it listens, and
 * in processor time until now.
 */
async function startTime(container: Container): Promise<{ clock: number; processor: number }> {
  const { stdout } = await engine('inspect', '--format', '{{json .State.StartedAt}}', container.id);
  const lines = (await container.logs()).split('\n').filter(line => line.startsWith('{'));
  const listening = lines.map(line => JSON.parse(line)).find(({ msg }) => msg === 'listening');
  // Fields 14 and 15 of proc(5): ticks of 10 ms in user and in kernel mode.
  const fields = (await container.exec('node', '-p', 'fs.readFileSync("/proc/1/stat", "utf8")')).split(' ');
  return {
    clock: Date.parse(listening.time) - Date.parse(JSON.parse(stdout)),
    processor: 10 * (Number(fields[13]) + Number(fields[14])),
  };
}
