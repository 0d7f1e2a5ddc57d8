import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../dev/ports.ts';
import { makeAccountDirectory, postgresAccount } from '../../dev/postgres/account.ts';
import { eventually } from './eventually.ts';
import { withClient } from './postgres-server.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

export interface PgBouncer {
  /** `url` with the pooler's address in place of the server's. */
  through(url: string): string;
  /** All connections on both sides are cut off, and new ones are taken a moment later. */
  restart(): Promise<void>;
}

/** Milliseconds; no file of tests takes as long. */
const LIFETIME = 900_000;

/**
 * Debian's PgBouncer in transaction mode before the server of `url`; ask `needs('pgbouncer')` first. Nothing is reset
 * between two transactions, so that what one leaves behind in its session is there for the next.
 *
 * @param poolSize how many connections to the server all its clients share
 */
export async function startPgBouncer(t: TestContext, url: string, poolSize: number): Promise<PgBouncer> {
  const server = new URL(url);
  const account = postgresAccount();
  const directory = await makeAccountDirectory(account);
  t.after(() => rm(directory, { recursive: true, force: true }));
  const port = await freePort();
  const ini = join(directory, 'pgbouncer.ini');
  const users = join(directory, 'users.txt');
  await writeFile(users, `"${server.username}" "${decodeURIComponent(server.password)}"\n`);
  await writeFile(
    ini,
    `[databases]
* = host=${server.hostname} port=${server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${users}
pool_mode = transaction
default_pool_size = ${poolSize}
server_reset_query =
server_login_retry = 1
`,
  );
  if (account) for (const file of [ini, users]) await chown(file, account.uid, account.gid);

  const through = (target: string) => Object.assign(new URL(target), { host: `127.0.0.1:${port}` }).href;
  let stop = async () => {};
  async function start(): Promise<void> {
    const child = spawn('/usr/sbin/pgbouncer', ['-q', ini], {
      ...account,
      cwd: '/',
      stdio: 'ignore',
      timeout: LIFETIME,
    });
    const exited = once(child, 'exit');
    stop = async () => {
      child.kill('SIGTERM');
      await exited;
    };
    await eventually(() => withClient(through(url), client => client.query('select 1')));
  }
  await start();
  t.after(() => stop());
  return {
    through,
    restart: async () => {
      await stop();
      await start();
    },
  };
}
