import assert from 'node:assert/strict';
import { it } from 'node:test';
import type tls from 'node:tls';
import { freePort } from '../../dev/ports.ts';
import type { ConfigStatus } from '../../src/config/live.ts';
import { spawnRelay } from '../faults/support/relay-process.ts';
import { Senders } from '../faults/support/sender.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { MountedFolder } from '../support/mounted.ts';
import { seedOwner } from '../support/owner.ts';
import { withClient } from '../support/postgres-server.ts';
import { SmtpClient } from '../support/smtp-client.ts';
import { makeCertificate } from '../support/tls.ts';

interface Health {
  readonly status: string;
  readonly configuration: ConfigStatus;
}

/** The serial number of the certificate that a new connection gets. */
async function presented(t: { after(end: () => void): void }, server: { host: string; port: number; ca: string }) {
  const client = await SmtpClient.secured(t, server, { tls: { rejectUnauthorized: false } });
  const { serialNumber } = (client.socket as tls.TLSSocket).getPeerCertificate();
  client.destroy();
  return serialNumber;
}

it('a relay in a pod: ConfigMap, Secret and certificate change under load, and no session drops', async t => {
  const databaseUrl = await createDatabase(t, { pipeline: 'opensend' });
  const owner = await withClient(databaseUrl, client => seedOwner(client));
  const [first, second] = [await makeCertificate(t), await makeCertificate(t)];
  const map = await MountedFolder.create(t, { 'relay.yaml': 'limits: { recipients: 5 }' });
  const secrets = await MountedFolder.create(t, { DATABASE_URL: databaseUrl });
  const pair = await MountedFolder.create(t, { 'tls.crt': first.cert, 'tls.key': first.key });
  const httpPort = await freePort();
  const process = await spawnRelay(t, {
    SMTP_RELAY_CONFIG: map.path,
    SMTP_RELAY_SECRETS_DIR: secrets.path,
    SMTP_RELAY_TLS_CERT_PATH: pair.file('tls.crt'),
    SMTP_RELAY_TLS_KEY_PATH: pair.file('tls.key'),
    SMTP_RELAY_HOST: '127.0.0.1',
    SMTP_RELAY_PORT: '0',
    SMTP_RELAY_HTTP_HOST: '127.0.0.1',
    SMTP_RELAY_HTTP_PORT: String(httpPort),
    SMTP_RELAY_DATABASE_POOL_SIZE: '3',
  }).listening();
  const server = { host: process.host, port: process.port, ca: first.ca, owner };
  const health = async (): Promise<Health> => (await fetch(`http://127.0.0.1:${httpPort}/healthz`)).json() as never;
  const metrics = async () => (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text();
  const generation = (number: number) => eventually(async () => (await health()).configuration.generation === number);

  const senders = new Senders(t, server, 3);
  await eventually(() => senders.sent.accepted.size > 10);
  const before = await presented(t, server);

  // A limit, then something that takes a restart.
  await map.replace({ 'relay.yaml': 'logLevel: debug\nlimits: { recipients: 1 }' });
  await generation(2);
  assert.deepEqual((await health()).configuration.restartToApply, []);
  const client = await SmtpClient.loggedIn(t, server);
  await client.command(`MAIL FROM:<a@${owner.domain}>`, '250 ');
  await client.command('RCPT TO:<b@example.com>', '250 ');
  await client.command('RCPT TO:<c@example.com>', '452 ');
  await map.replace({ 'relay.yaml': 'database: { statementTimeout: 20s }\nlimits: { recipients: 2 }' });
  await generation(3);
  assert.deepEqual((await health()).configuration.restartToApply, ['database.statementTimeout']);

  // A bad file, and a good one again.
  await map.replace({ 'relay.yaml': 'limits:\n  recipients: none' });
  const { configuration, status } = (await eventually(async () => {
    const body = await health();
    return body.configuration.lastError ? body : null;
  })) as Health;
  assert.equal(status, 'degraded');
  assert.equal(configuration.generation, 3);
  assert.match(configuration.lastError?.message ?? '', /limits\.recipients \(file:.*relay\.yaml:2\)/);
  assert.match(await metrics(), /^smtp_relay_config_reload_failures_total 1$/m);
  await map.replace({ 'relay.yaml': 'limits: { recipients: 3 }' });
  await generation(4);
  assert.equal((await health()).status, 'ok');

  // The certificate: first one that does not fit its key, then a good one.
  const renewals = async () => process.logs.filter(({ msg }) => msg === 'TLS certificate renewed').length;
  await pair.replace({ 'tls.crt': second.cert, 'tls.key': first.key });
  await eventually(() =>
    process.logs.some(({ msg }) => msg === 'new TLS certificate cannot be used; the old one stays'),
  );
  assert.equal(await presented(t, server), before);
  await pair.replace({ 'tls.crt': second.cert, 'tls.key': second.key });
  await eventually(async () => (await renewals()) === 1);
  assert.notEqual(await presented(t, server), before);
  const expiry = /^smtp_relay_tls_certificate_expiry_timestamp_seconds (\S+)$/m.exec(await metrics())?.[1];
  assert.ok(Number(expiry) > Date.now() / 1000, expiry);

  const sofar = senders.sent.accepted.size;
  await eventually(() => senders.sent.accepted.size > sofar + 10);
  const { refusals } = await senders.stop();
  assert.deepEqual(refusals, []);
});
