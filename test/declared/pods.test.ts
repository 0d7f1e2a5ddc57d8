import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { startRelay } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { startWorker } from '../support/worker.ts';
import { document } from './support.ts';

const KEY = 'os_live_00112233445566778899aabbccddeeff';

const DOCUMENTS = (directory: string) => `
apiVersion: relay.opensend.dev/v1alpha1
kind: SmtpCredential
metadata: { name: billing }
spec: { owner: declared, domain: declared.test, keyFile: key }
---
apiVersion: relay.opensend.dev/v1alpha1
kind: SendingDomain
metadata: { name: declared }
spec: { owner: declared, name: declared.test, route: folder }
---
apiVersion: relay.opensend.dev/v1alpha1
kind: Route
metadata: { name: folder }
spec: { transport: capture, capture: { directory: ${directory} } }
`;

it('what documents declare is in force in relay and worker, and ends with them', async t => {
  const root = await mkdtemp(join(tmpdir(), 'smtp-relay-declared-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const [directory, captured] = [join(root, 'documents'), join(root, 'captured')];
  await mkdir(directory);
  await writeFile(join(directory, 'key'), `${KEY}\n`);
  await writeFile(join(directory, 'all.yaml'), DOCUMENTS(captured));
  const settings = {
    'resources.directory': directory,
    'resources.interval': 1_000,
    pipeline: 'standalone',
    httpHost: '127.0.0.1',
  };
  const relay = await startRelay(t, { settings });
  // A smarthost that nobody answers at: only the declared route leads anywhere.
  const lost = { transport: 'smtp', 'smtp.host': '127.0.0.1', 'smtp.port': 9 };
  const worker = await startWorker(t, {
    databaseUrl: relay.databaseUrl,
    queue: relay.queue,
    settings: { ...settings, ...lost },
  });
  const tryToLogIn = async (expected: string) => {
    const client = await SmtpClient.secured(t, relay);
    await client.logIn(KEY, expected);
    return client;
  };
  const client = await eventually(() => tryToLogIn('235 '));
  const transaction = { from: 'hello@declared.test', to: ['to@example.com'], data: messageFrom('hello@declared.test') };
  // The domain may come a moment after the key.
  const id = emailIdOf(await eventually(() => client.transact(transaction, '250 ')));
  await eventually(async () => {
    const { rows } = await worker.db.query('select status from emails where id = $1', [id]);
    return rows[0]?.status === 'sent';
  });
  const { rows } = await worker.db.query('select transport from smtp_relay_attempts where email_id = $1', [id]);
  assert.deepEqual(rows, [{ transport: 'capture' }]);

  // As where the volume is not mounted.
  await rm(join(directory, 'all.yaml'));
  await eventually(() => [...relay.logs, ...worker.logs].some(({ level, kept }) => level === 50 && kept === 3));
  await tryToLogIn('235 ');
  await writeFile(
    join(directory, 'other.yaml'),
    document('SendingDomain', 'other', { owner: 'acme', name: 'other.test' }),
  );
  await eventually(() => tryToLogIn('535 '));
});

it('a declared route says what the relay accepts, without a new generation of its configuration', async t => {
  const relay = await startRelay(t, { queue: false, settings: { pipeline: 'standalone' } });
  const from = `hello@${relay.owner.domain}`;
  const client = await SmtpClient.loggedIn(t, relay);
  await client.transact({ from, to: ['to@example.com'], data: messageFrom(from) }, '250 ');
  await relay.db.query("insert into smtp_relay_routes values (gen_random_uuid(), 'folder', $1, 'capture', '{}')", [
    JSON.stringify([relay.owner.domain]),
  ]);
  // SES, the default, takes no such recipient.
  await eventually(async () => {
    await client.command('RSET', '250 ');
    await client.command(`MAIL FROM:<${from}> SMTPUTF8`, '250 ');
    return client.command('RCPT TO:<j\u00f6rg@example.com>', '250 ');
  });
  await client.command('DATA', '354 ');
  await client.command(`${messageFrom(from)}\r\n.`, '250 ');
});
