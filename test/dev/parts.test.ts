import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkServerIdentity, connect, createServer } from 'node:tls';
import { ReceiveMessageCommand, SendMessageCommand } from '@aws-sdk/client-sqs';
import { renderEnvironmentFile } from '../../dev/environment.ts';
import { canEnter, postgresAccount } from '../../dev/postgres/account.ts';
import { renderHappening } from '../../dev/show/lines.ts';
import { renderSettings } from '../../dev/show/settings.ts';
import { sqsClient, startSqs } from '../../dev/sqs.ts';
import { lockState, openState } from '../../dev/state.ts';
import { stopWithin } from '../../dev/stop-within.ts';
import { keepTlsFiles } from '../../dev/tls-files.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

async function temporary(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'smtp-relay-parts-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

test('the queue and its messages outlive a restart of the emulator', async t => {
  const dataDirectory = await temporary(t);
  const first = await startSqs({ port: 0, dataDirectory });
  const url = await first.createQueue('kept');
  const client = sqsClient(first.endpoint);
  await client.send(new SendMessageCommand({ QueueUrl: url, MessageBody: 'hello' }));
  client.destroy();
  await first.stop();
  const second = await startSqs({ port: 0, dataDirectory });
  t.after(() => second.stop());
  const other = sqsClient(second.endpoint);
  t.after(async () => other.destroy());
  const { Messages = [] } = await other.send(
    new ReceiveMessageCommand({ QueueUrl: await second.createQueue('kept'), WaitTimeSeconds: 20 }),
  );
  assert.deepEqual(
    Messages.map(({ Body }) => Body),
    ['hello'],
  );
  assert.match(second.endpoint, /^http:\/\/127\.0\.0\.1:/);
});

test('clients that trust the local authority accept localhost, 127.0.0.1 and ::1, and nothing else', async t => {
  const files = await keepTlsFiles(await temporary(t));
  const [ca, cert, key] = await Promise.all([readFile(files.ca), readFile(files.cert), readFile(files.key)]);
  const server = createServer({ cert, key }, socket => socket.end()).listen(0, '127.0.0.1');
  t.after(async () => void server.close());
  server.on('tlsClientError', () => {});
  await once(server, 'listening');
  const { port } = server.address() as import('node:net').AddressInfo;
  for (const name of ['localhost', '127.0.0.1', '::1']) {
    const socket = connect({
      port,
      host: '127.0.0.1',
      ca,
      servername: 'localhost',
      checkServerIdentity: identity(name),
    });
    await once(socket, 'secureConnect');
    socket.destroy();
  }
  const stranger = connect({ port, host: '127.0.0.1', ca, checkServerIdentity: identity('other.test') });
  await assert.rejects(once(stranger, 'secureConnect'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
});

function identity(name: string) {
  return (_: string, certificate: import('node:tls').PeerCertificate) => checkServerIdentity(name, certificate);
}

test('the certificate is kept, and made anew when it cannot be used', async t => {
  const directory = await temporary(t);
  const files = await keepTlsFiles(directory);
  const first = await readFile(files.cert, 'utf8');
  await keepTlsFiles(directory);
  assert.equal(await readFile(files.cert, 'utf8'), first);
  await writeFile(files.key, '');
  await rm(files.ca);
  await keepTlsFiles(directory);
  assert.notEqual(await readFile(files.cert, 'utf8'), first);
});

test('a part that does not stop holds nothing up, and is told of', async () => {
  const stopped: string[] = [];
  const stack = new AsyncDisposableStack();
  stack.defer(async () => void stopped.push('below'));
  stack.defer(() => stopWithin('the part', 10, () => new Promise(() => {})));
  await assert.rejects(stack.disposeAsync(), { message: 'the part did not stop within 10 ms' });
  assert.deepEqual(stopped, ['below']);
});

test('a lock whose process is gone or is another program does not count', async t => {
  const directory = await temporary(t);
  const gone = spawnSync('/bin/sh', ['-c', 'echo $$'], { encoding: 'utf8' }).stdout;
  for (const holder of [gone, '1\n', 'nonsense', '']) {
    await writeFile(join(directory, 'lock'), holder);
    const unlock = await lockState(directory);
    assert.equal(await readFile(join(directory, 'lock'), 'utf8'), `${process.pid}\n`);
    await unlock();
  }
});

test('Postgres goes elsewhere, and always to the same place, where its user cannot enter the project', async t => {
  const account = postgresAccount();
  const parent = await temporary(t);
  const directory = join(parent, '.dev');
  await mkdir(directory);
  const { postgres } = await openState(directory, account);
  if (account) {
    t.after(() => rm(postgres, { recursive: true, force: true }));
    assert.ok(!postgres.startsWith(parent), 'mkdtemp makes folders that only root enters');
  } else {
    assert.equal(postgres, join(directory, 'postgres'));
  }
  assert.ok(canEnter(account, postgres));
  assert.equal((await openState(directory, account)).postgres, postgres);
});

test('the printed commands survive awkward paths and keep to one line each', () => {
  const caFile = `/tmp/it's a "$HOME" \\dir/ca.crt`;
  const text = renderSettings({ host: '127.0.0.1', port: 2587, apiKey: 'os_live_x', domain: 'demo.test', caFile });
  const python = text.split('\n').find(line => line.startsWith('python3 '));
  const script = `python3() { printf '%s' "$2"; }\n${python}`;
  const { stdout } = spawnSync('/bin/sh', ['-c', script], { encoding: 'utf8' });
  const literal = /cafile=('(?:[^'\\]|\\.)*')/.exec(stdout)?.[1] ?? '';
  assert.equal(literal.slice(1, -1).replace(/\\(.)/g, '$1'), caFile);
});

test('the file for a shell keeps every value as it is', () => {
  const url = `postgres://a:b'$HOME "c\\@127.0.0.1/d`;
  const script = `${renderEnvironmentFile({ DATABASE_URL: url })}printf '%s' "$DATABASE_URL"`;
  assert.equal(spawnSync('/bin/sh', ['-c', script], { encoding: 'utf8' }).stdout, url);
});

const AT = new Date(2026, 0, 2, 3, 4, 5);
const EMAIL_ID = '0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11';

test('what a client writes cannot break or recolour the line of a message', () => {
  const facts = { from: 'a@b.test', recipients: ['c@d.test', 'e@f.test'], subject: 'x\r\n\u001b[31my', size: 12 };
  const line = renderHappening({ kind: 'accepted', key: '', emailId: EMAIL_ID, at: AT, facts }, '/captured');
  assert.equal(line, `03:04:05  6f3f7c11  accepted    a@b.test -> c@d.test +1  "x [31my"  12 B  ${EMAIL_ID}`);
});

test('a try that failed, a delivery that did, and an event about no message are lines too', () => {
  const base = { key: '', emailId: EMAIL_ID, at: AT };
  const tried = { outcome: 'transient', transport: 'smtp', code: '451', message: 'later', providerMessageId: null };
  const webhook = { event: 'email.sent', url: 'http://x/', status: 'failed', statusCode: null, answer: 'refused' };
  const disabled = { type: 'webhook.disabled', payload: { url: 'http://x/' } };
  const lines = [
    renderHappening({ ...base, kind: 'tried', facts: { ...tried, outcome: 'transient' } }, '/captured'),
    renderHappening({ ...base, kind: 'webhook', facts: webhook }, '/captured'),
    renderHappening({ ...base, emailId: null, kind: 'event', facts: disabled }, '/captured'),
  ];
  assert.deepEqual(lines, [
    '03:04:05  6f3f7c11  put off     by smtp: 451 later',
    '03:04:05  6f3f7c11  webhook     email.sent -> http://x/  no answer: refused, tried again later',
    '03:04:05            webhook.disabled  http://x/',
  ]);
});
