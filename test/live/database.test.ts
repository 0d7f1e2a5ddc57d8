import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createOwnPostgres, type OwnPostgres } from '../faults/support/own-postgres.ts';
import { type RelayProcess, spawnRelay } from '../faults/support/relay-process.ts';
import { Senders } from '../faults/support/sender.ts';
import { eventually } from '../support/eventually.ts';
import { MountedFolder } from '../support/mounted.ts';
import { withClient } from '../support/postgres-server.ts';
import type { Reply } from '../support/smtp-client.ts';

const SESSIONS = 4;

function assertTemporary(refusals: readonly Reply[]): void {
  assert.deepEqual(
    refusals.filter(({ code }) => code < 400 || code > 499),
    [],
  );
}

describe('the database password is rotated under load', () => {
  const ends: (() => Promise<void>)[] = [];
  const context = { after: (end: () => Promise<void>) => void ends.push(end) };
  let postgres: OwnPostgres;
  let secret: MountedFolder;
  let relay: RelayProcess;

  const query = (sql: string) => withClient(postgres.databaseUrl, async client => (await client.query(sql)).rows);
  const urlFor = (user: string, password: string): string => {
    const url = new URL(postgres.databaseUrl);
    url.username = user;
    url.password = password;
    return url.href;
  };
  const users = async (): Promise<string[]> => {
    const rows = await query(`select distinct usename from pg_stat_activity where application_name = 'smtp-relay'`);
    return rows.map(({ usename }) => usename).sort();
  };
  /** Makes the relay open new connections, in the middle of its work. */
  const endSessions = (user: string) =>
    query(`select pg_terminate_backend(pid) from pg_stat_activity where usename = '${user}'`);
  const newGeneration = async (number: number): Promise<void> => {
    await eventually(() =>
      relay.logs.some(({ msg, generation }) => msg === 'new configuration in force' && generation === number),
    );
  };

  before(async () => {
    postgres = await createOwnPostgres(context, { pipeline: 'standalone' });
    await query(`create role relay login superuser password 'one'`);
    secret = await MountedFolder.create(context, { url: `${urlFor('relay', 'one')}\n` });
    relay = await spawnRelay(context as never, {
      DATABASE_URL_FILE: secret.file('url'),
      SMTP_RELAY_HOST: '127.0.0.1',
      SMTP_RELAY_PORT: '0',
      SMTP_RELAY_PIPELINE: 'standalone',
      SMTP_RELAY_MIGRATIONS: 'none',
    }).listening();
  });
  after(async () => {
    for (const end of ends.reverse()) await end();
  });

  /** Sends all the time. What was answered with 250 is stored once, and nothing else is. */
  async function duringLoad(t: { after(end: () => void): void }, rotate: () => Promise<void>) {
    const senders = new Senders(t, Object.assign(Object.create(relay), { owner: postgres.owner }), SESSIONS);
    const more = async (): Promise<void> => {
      const sofar = senders.sent.accepted.size;
      await eventually(() => senders.sent.accepted.size > sofar + 20);
    };
    await more();
    await rotate();
    await more();
    const { accepted, unaccepted, refusals } = await senders.stop();
    const subjects = [...accepted.values(), ...unaccepted].map(subject => `'${subject}'`).join(',');
    const rows = await query(`select id, subject from emails where subject in (${subjects})`);
    assert.deepEqual(new Map(rows.map(({ id, subject }) => [id, subject])), accepted);
    return refusals;
  }

  it('another password: new connections have it, open ones go on, and what comes in between is asked for again', async t => {
    const refusals = await duringLoad(t, async () => {
      await query(`alter role relay password 'two'`);
      await secret.replace({ url: urlFor('relay', 'two') });
      await newGeneration(2);
    });
    assertTemporary(refusals);
    await endSessions('relay');
    assert.deepEqual(await duringLoad(t, async () => {}), []);
    assert.deepEqual(await users(), ['relay']);
  });

  it('another user, and the old one is taken away: what is lost is asked for again, and mail is taken', async t => {
    await query(`create role renewed login superuser password 'three'`);
    const refusals = await duringLoad(t, async () => {
      await secret.replace({ url: urlFor('renewed', 'three') });
      await newGeneration(3);
      await query('alter role relay nologin');
      await endSessions('relay');
    });
    assertTemporary(refusals);
    assert.deepEqual(await users(), ['renewed']);
  });
});
