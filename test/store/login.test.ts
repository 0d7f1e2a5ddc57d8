import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { runInProcess } from '../cli/run-cli.ts';
import { spawnRelay } from '../faults/support/relay-process.ts';
import { createDatabase } from '../support/database.ts';
import { seedOwner } from '../support/owner.ts';
import { withClient } from '../support/postgres-server.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';

describe('without DATABASE_URL', () => {
  it('a relay finds an empty database by PG variables and a password file, migrates it, and takes mail', async t => {
    const url = await createDatabase(t, { empty: true });
    const { hostname, port, username, password, pathname } = new URL(url);
    const directory = await mkdtemp(join(tmpdir(), 'smtp-relay-login-'));
    t.after(() => rm(directory, { recursive: true, force: true }));
    const token = join(directory, 'token');
    await writeFile(token, `${decodeURIComponent(password)}\n`);
    const env = {
      PGHOST: hostname,
      PGPORT: port,
      PGUSER: username,
      PGDATABASE: pathname.slice(1),
      PGPASSWORD: 'outdated',
      DATABASE_PASSWORD_FILE: token,
    };
    const settings = { SMTP_RELAY_PIPELINE: 'standalone', SMTP_RELAY_HOST: '127.0.0.1', SMTP_RELAY_PORT: '0' };
    const relay = await spawnRelay(t, { ...env, ...settings }).listening();
    const owner = await withClient(url, client => seedOwner(client));
    const client = await SmtpClient.loggedIn(t, Object.assign(Object.create(relay), { owner }));
    const data = messageFrom('a@acme.test');
    const id = emailIdOf(await client.transact({ from: 'a@acme.test', to: ['b@example.com'], data }, '250 '));
    const { code, stdout } = await runInProcess(['emails', 'show', id, '--json'], env);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(id));
  });
});
