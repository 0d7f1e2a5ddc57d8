/** Measures how long a list of suppressed addresses takes to be imported; see README.md beside this file. */
import { Readable } from 'node:stream';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { readSuppressionsCsv } from '../src/cli/suppressions/csv.ts';
import { Import } from '../src/cli/suppressions/import.ts';
import { startSystem } from './support/system.ts';

const HELP = 'node bin/node24.js bench/suppressions.ts [--addresses 100000] [--beside 50000]';

const { values } = parseArgs({
  options: {
    addresses: { type: 'string', default: '100000' },
    beside: { type: 'string', default: '50000' },
    help: { type: 'boolean', default: false },
  },
});

const OWNER = 'tenant';
const FILL = `
  insert into email_suppressions (user_id, email, reason)
  select $1, 'there-' || n || '@example.com', 'manual' from generate_series(1, $2::integer) n`;
/** What the database takes for the same rows alone. */
const BARE = `
  insert into email_suppressions (user_id, email, reason)
  select $1, 'bare-' || n || '@example.com', 'bounced' from generate_series(1, $2::integer) n`;

async function main(count: number, beside: number): Promise<void> {
  const system = await startSystem();
  try {
    const { databaseUrl } = await system.prepare('suppressions', 'standalone');
    const pool = new pg.Pool({ connectionString: databaseUrl, max: 2 });
    await pool.query(FILL, [OWNER, beside]);
    const bare = await seconds(() => pool.query(BARE, ['another', count]));
    const first = await seconds(() => importAll(pool, count));
    const again = await seconds(() => importAll(pool, count));
    process.stdout.write(
      `${count} addresses beside ${beside}: ${first.toFixed(2)} s, ${(first / bare).toFixed(1)} times the bare insert ` +
        `(${bare.toFixed(2)} s); the same file again: ${again.toFixed(2)} s\n`,
    );
    await pool.end();
  } finally {
    await system.stop();
  }
}

async function importAll(pool: pg.Pool, count: number): Promise<void> {
  const lines = function* () {
    yield 'email,created,reason\n';
    for (let n = 0; n < count; n++) yield `user-${n}@example.com,1443651125,550 5.1.1 no such user\n`;
  };
  const work = new Import({});
  await work.run(pool, readSuppressionsCsv(Readable.from(lines()), { owner: OWNER }));
  if (work.added + work.existing !== count) throw new Error('not all of them are on the list');
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}

if (values.help) process.stdout.write(`${HELP}\n`);
else await main(Number(values.addresses), Number(values.beside));
