import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { access, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import type { LoadResult } from '../support/load.ts';
import { latencyOf } from '../support/load.ts';
import { usageOfTree } from '../support/usage.ts';
import type { Peer, Times } from './peer.ts';

/** Debian's, then whatever is on the PATH: the embedded Postgres brings no pgbench. */
const PROGRAMS = ['/usr/lib/postgresql/15/bin/pgbench', 'pgbench'];
const TABLE = 'create table messages (id bigserial primary key, original text not null)';

/** One insert of the same size into the Postgres that the relay uses, each a commit: the least that a row can cost. */
export const pgbench: Peer = {
  name: 'pgbench',
  title: 'pgbench, one insert of that size',
  async start({ system, directory: parent }, { message, connections }) {
    const { program, version } = await find();
    const directory = join(parent, 'pgbench');
    await mkdir(directory, { recursive: true });
    const url = await system.createDatabase('peers_pgbench');
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query(TABLE);
    // As a message is stored: what is large is not compressed again.
    await client.query('alter table messages alter column original set storage external');
    const script = join(directory, 'insert.sql');
    const text = randomBytes(message.size).toString('base64').slice(0, message.size);
    await writeFile(script, `insert into messages (original) values ('${text}');\n`);
    const threads = Math.min(connections, availableParallelism());
    const fixed = ['--no-vacuum', `--file=${script}`, `--client=${connections}`, `--jobs=${threads}`];
    const insert = async (seconds: number, ...more: string[]) => {
      await promisify(execFile)(program, [...fixed, `--time=${Math.ceil(seconds)}`, ...more, url], { cwd: directory });
    };
    return {
      version,
      run: async (name, times, onMeasuring) => {
        await insert(times.warmUpSeconds);
        onMeasuring();
        await insert(times.seconds, '--log', `--log-prefix=${name}`);
        return resultOf(await readLog(directory, name), times, message.size);
      },
      settle: () => sleep(0),
      usage: () => ({ postgres: usageOfTree(system.pids.postgres) }),
      check: async () => [],
      stop: async () => {
        await client.end();
        await system.dropDatabase('peers_pgbench');
        await rm(directory, { recursive: true });
      },
    };
  },
};

async function find(): Promise<{ program: string; version: string }> {
  for (const program of PROGRAMS) {
    try {
      if (program.startsWith('/')) await access(program);
      const version = execFileSync(program, ['--version'], { encoding: 'utf8' });
      return { program, version: /\d+(\.\d+)*/.exec(version)?.[0] ?? version.trim() };
    } catch {
      // The next one.
    }
  }
  throw new Error('no pgbench: install the package postgresql-contrib of your system');
}

/** Milliseconds of each transaction. */
async function readLog(directory: string, name: string): Promise<number[]> {
  const files = (await readdir(directory)).filter(file => file.startsWith(`${name}.`));
  const texts = await Promise.all(files.map(file => readFile(join(directory, file), 'latin1')));
  await Promise.all(files.map(file => rm(join(directory, file))));
  const lines = texts.flatMap(text => text.split('\n')).filter(line => line !== '');
  // client, transaction, microseconds, …: the manual of pgbench, "Per-Transaction Logging".
  return lines.map(line => Number(line.split(' ')[2]) / 1000);
}

function resultOf(latencies: readonly number[], { seconds }: Times, messageBytes: number): LoadResult {
  return {
    accepted: latencies.length,
    measured: latencies.length,
    seconds: Math.ceil(seconds),
    messageBytes,
    latency: latencyOf(latencies),
    refusals: {},
    generatorCpuSeconds: 0,
  };
}
