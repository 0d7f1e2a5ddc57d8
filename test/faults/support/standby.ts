import { execFile } from 'node:child_process';
import { copyFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { makeAccountDirectory, postgresAccount } from '../../../dev/postgres/account.ts';
import { startPostgres, type TestPostgres, withClient } from '../../support/postgres-server.ts';
import type { TestContext } from '../../support/relay.ts';

const PG_BASEBACKUP = '/usr/lib/postgresql/15/bin/pg_basebackup';

/**
 * A streaming standby of a server of Debian's Postgres 15, which takes a commit only when both have it.
 *
 * @param directory the primary's, of which the password is the standby's as well
 */
export async function startStandby(t: TestContext, primary: TestPostgres, directory: string): Promise<TestPostgres> {
  const account = postgresAccount();
  const own = await makeAccountDirectory(account);
  t.after(() => rm(own, { recursive: true, force: true }));
  await copyFile(join(directory, 'password'), join(own, 'password'));
  const source = `${primary.url('postgres')}?application_name=standby`;
  const args = ['--pgdata', join(own, 'data'), '--dbname', source, '--write-recovery-conf', '--checkpoint=fast'];
  await promisify(execFile)(PG_BASEBACKUP, args, { ...account, cwd: own, timeout: 60_000 });
  const standby = await startPostgres({ version: '15', directory: own });
  t.after(() => standby.stop());
  await withClient(primary.url('postgres'), async client => {
    await client.query("alter system set synchronous_standby_names = 'standby'");
    await client.query('select pg_reload_conf()');
  });
  return standby;
}

/** Fences the primary, which stays up and keeps its connections, and makes the standby the primary. */
export async function failOver(primary: TestPostgres, standby: TestPostgres): Promise<void> {
  await withClient(primary.url('postgres'), async client => {
    await client.query('alter system set default_transaction_read_only = on');
    await client.query('select pg_reload_conf()');
  });
  await withClient(standby.url('postgres'), client => client.query('select pg_promote()'));
}
