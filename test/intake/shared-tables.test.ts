import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { mail } from '../support/mail.ts';
import { withClient } from '../support/postgres-server.ts';
import { startRelay, type TestContext, type TestRelay } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { submit } from './submit.ts';

/*
 * The tables are another's: they may have triggers, rules and columns of their own. Nothing of that is the client's fault.
 */

const relay = await startRelay({ after }, { queue: false });
const counted = await startRelay({ after }, { queue: false, settings: { 'limits.messagesPerDay': 1_000_000 } });
const standalone = await startRelay({ after }, { queue: false, settings: { pipeline: 'standalone' } });

const FROM = 'a@acme.test';
const COUNT = `
  select (select count(*)::integer from emails) as emails, (select count(*)::integer from smtp_relay_messages) as originals,
         (select count(*)::integer from smtp_relay_outbox) as jobs`;

async function counts(of: TestRelay): Promise<unknown> {
  return (await of.db.query(COUNT)).rows[0];
}

/** Statements that hold until the end of the test. */
async function alter(t: TestContext, of: TestRelay, there: string, back: string): Promise<void> {
  await withClient(of.databaseUrl, client => client.query(there));
  t.after(async () => void (await withClient(of.databaseUrl, client => client.query(back))));
}

async function addTrigger(t: TestContext, of: TestRelay, body: string, table = 'emails'): Promise<void> {
  await alter(
    t,
    of,
    `create sequence test_seen; create function test_trigger() returns trigger language plpgsql as $$ begin ${body} end $$;
     create trigger test_trigger before insert on ${table} for each row execute function test_trigger()`,
    `drop trigger test_trigger on ${table}; drop function test_trigger; drop sequence test_seen`,
  );
}

/** So many messages at once, each by a session of its own. */
async function sendMany(t: TestContext, of: TestRelay, subjects: readonly string[]) {
  const clients = await Promise.all(subjects.map(() => SmtpClient.loggedIn(t as never, of)));
  return Promise.all(
    clients.map((client, index) =>
      client.transact(
        {
          from: FROM,
          to: ['b@example.com'],
          data: messageFrom(FROM, { subject: subjects[index] as string }),
        },
        '',
      ),
    ),
  );
}

function faults(of: TestRelay, from: number): string[] {
  return of.logs
    .slice(from)
    .filter(({ level, msg }) => level >= 50 && msg.startsWith('not accepted'))
    .map(({ err }) => (err as { message: string }).message);
}

for (const [name, of] of [
  ['beside OpenSend', relay],
  ['with limits of keys', counted],
  ['standalone', standalone],
] as const) {
  describe(`an insert that stores nothing, ${name}`, () => {
    it('gets 451 and an error in the log, and leaves nothing behind', async t => {
      await addTrigger(t, of, 'return null;');
      const [before, logs] = [await counts(of), of.logs.length];
      const reply = await submit(t, of, mail(`From: ${FROM}`, '', 'x'), {}, '451 4.3.0');
      assert.doesNotMatch(reply.last, /emails|trigger/);
      assert.deepEqual(await counts(of), before);
      assert.match(faults(of, logs).join(), /emails took 0 of 1 rows/);
    });

    it('is no other than one that stores it under another id', async t => {
      await addTrigger(t, of, 'new.id = gen_random_uuid(); return new;');
      const before = await counts(of);
      await submit(t, of, mail(`From: ${FROM}`, '', 'x'), {}, '451 4.3.0');
      assert.deepEqual(await counts(of), before);
    });

    it('is the fate of one message, and not of those that share its commit', async t => {
      await addTrigger(t, of, "if new.subject like 'out%' then return null; end if; return new;");
      const subjects = Array.from({ length: 24 }, (_, n) => `${n % 6 === 0 ? 'out' : 'in'} ${n}`);
      const replies = await sendMany(t, of, subjects);
      for (const [n, { last }] of replies.entries()) {
        assert.match(last, subjects[n]?.startsWith('out') ? /^451 4\.3\.0/ : /^250 2\.0\.0/);
      }
      const { rows } = await of.db.query("select 1 from emails where subject like 'in %' or subject like 'out %'");
      assert.equal(rows.length, 20);
    });
  });
}

describe('a table of our own that takes nothing', () => {
  for (const table of ['smtp_relay_outbox', 'smtp_relay_idempotency']) {
    it(`${table}: 451, an error in the log, and nothing is left behind`, async t => {
      await addTrigger(t, standalone, 'return null;', table);
      const [before, logs] = [await counts(standalone), standalone.logs.length];
      const key = table === 'smtp_relay_idempotency' ? ['X-OpenSend-Idempotency-Key: k'] : [];
      await submit(t, standalone, mail(`From: ${FROM}`, ...key, '', 'x'), {}, '451 4.3.0');
      assert.deepEqual(await counts(standalone), before);
      assert.match(faults(standalone, logs).join(), new RegExp(`${table} took (?:0 of 1 rows|no row)`));
    });
  }
});

it('a rule in place of the insert is 451, too', async t => {
  await alter(
    t,
    relay,
    'create rule test_nothing as on insert to emails do instead nothing',
    'drop rule test_nothing on emails',
  );
  await submit(t, relay, mail(`From: ${FROM}`, '', 'x'), {}, '451 4.3.0');
});

describe('what a shared table refuses', () => {
  it('is 451 and an error in the log where a column is narrower than it should be', async t => {
    await alter(
      t,
      relay,
      'alter table emails alter column subject type varchar(20)',
      'alter table emails alter column subject type text',
    );
    const logs = relay.logs.length;
    const long = mail(`From: ${FROM}`, `Subject: ${'s'.repeat(30)}`, '', 'x');
    await submit(t, relay, long, {}, '451 4.3.0');
    assert.match(faults(relay, logs).join(), /value too long/);
    const replies = await sendMany(t, relay, [
      'short 1',
      's'.repeat(30),
      'short 2',
      'short 3',
      't'.repeat(30),
      'short 4',
    ]);
    assert.deepEqual(
      replies.map(({ code }) => code),
      [250, 451, 250, 250, 451, 250],
    );
  });

  it('is 451 for one message where a trigger raises an error of its own', async t => {
    await addTrigger(t, relay, "if new.subject = 'bad' then raise exception 'no'; end if; return new;");
    const replies = await sendMany(t, relay, ['good 1', 'bad', 'good 2', 'good 3', 'good 4', 'bad']);
    assert.deepEqual(
      replies.map(({ code }) => code),
      [250, 451, 250, 250, 250, 451],
    );
  });

  it('is a 5xx only for what is known before: NUL', async t => {
    const nul = Buffer.from(`From: ${FROM}\r\nContent-Transfer-Encoding: base64\r\n\r\nYQBi\r\n`);
    await submit(t, relay, nul, {}, '554 5.6.0');
  });

  it('half a character of UTF-16 is replaced, wherever it stands', async t => {
    const half = Buffer.from([0x00, 0xd8, 0x41, 0x00]).toString('base64');
    const raw = mail(
      `From: =?utf-16le?B?${half}?= <${FROM}>`,
      'To: b@example.com',
      `Subject: =?utf-16le?B?${half}?=`,
      'Content-Type: text/plain; charset=utf-16le',
      'Content-Transfer-Encoding: base64',
      '',
      half,
    );
    const id = emailIdOf(await submit(t, relay, raw, {}, '250 2.0.0'));
    const { rows } = await relay.db.query('select subject, text from emails where id = $1', [id]);
    assert.equal(rows[0].subject, '\ufffdA');
    assert.match(rows[0].text, /^\ufffdA/);
  });
});

describe('transactions that are in the way', () => {
  for (const code of ['40001', '40P01']) {
    it(`cost no message its 250: ${code}`, async t => {
      await addTrigger(
        t,
        relay,
        `if nextval('test_seen') % 6 = 0 then raise exception 'in the way' using errcode = '${code}'; end if; return new;`,
      );
      const subjects = Array.from({ length: 40 }, (_, n) => `conflict ${code} ${n}`);
      for (let round = 0; round < 3; round++) {
        const replies = await sendMany(t, relay, subjects);
        assert.deepEqual(new Set(replies.map(({ code: reply }) => reply)), new Set([250]));
      }
      const { rows } = await relay.db.query('select 1 from emails where subject like $1', [`conflict ${code} %`]);
      assert.equal(rows.length, 3 * subjects.length);
    });
  }

  it('cost no message its 250 where the role is serializable by default', async t => {
    await alter(
      t,
      counted,
      "do $$ begin execute format('alter database %I set default_transaction_isolation = serializable', current_database()); end $$",
      "do $$ begin execute format('alter database %I reset default_transaction_isolation', current_database()); end $$",
    );
    const strict = await startRelay(t, {
      queue: false,
      shareWith: counted,
      settings: { 'limits.messagesPerDay': 1_000_000 },
    });
    const replies = await sendMany(
      t,
      strict,
      Array.from({ length: 60 }, (_, n) => `strict ${n}`),
    );
    assert.deepEqual(new Set(replies.map(({ code }) => code)), new Set([250]));
  });
});

it('EHLO with a control character is refused, and an odd name spoils no message', async t => {
  const client = await SmtpClient.connect(t, standalone);
  await client.expect('220 ');
  await client.command('EHLO a\0b', '501 5.5.');
  await client.command('EHLO client.test', '250 ');
  await client.startTls();
  await client.command('HELO a\u0007', '501 5.5.');
  await client.command('EHLO [192.0.2.1] \ufffd_x', '250 ');
  await client.logIn(standalone.owner.apiKey);
  await client.transact({ from: FROM, to: ['b@example.com'], data: messageFrom(FROM) }, '250 2.0.0');
});
