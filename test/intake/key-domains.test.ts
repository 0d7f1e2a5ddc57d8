import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { mail } from '../support/mail.ts';
import { seedOwner } from '../support/owner.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { letPass } from '../support/time.ts';
import { accepted, submit } from './submit.ts';

const relay = await startRelay({ after }, { queue: false });
const from = (value: string, ...more: readonly string[]) => mail(`From: ${value}`, ...more, '', 'x');

async function addDomain(userId: string, name: string): Promise<string> {
  const sql = 'insert into domains (id, name, user_id, created_at) values ($1, $2, $3, now()) returning id';
  return (await relay.db.query(sql, [randomUUID(), name, userId])).rows[0].id;
}

/** A new owner with a domain, and a key restricted to what `restriction` makes of the domain's id. */
async function keyed(
  name: string,
  restriction: (id: string) => string = id => id,
): Promise<TestRelay & { id: string }> {
  const owner = await seedOwner(relay.db, { domain: name, keyDomain: null });
  const id = await addDomain(owner.userId, name);
  await relay.db.query('update api_keys set domain = $1 where id = $2', [restriction(id), owner.keyId]);
  return { ...relay, owner, id };
}

/** The reply names no id. */
async function refused(t: Parameters<typeof submit>[0], to: TestRelay & { id: string }, address: string) {
  const { last } = await submit(t, to, from(address), { from: 'bounces@elsewhere.test' }, '550 5.7.1 ');
  assert.ok(!last.toLowerCase().includes(to.id) && !/[0-9a-f]{8}-[0-9a-f]{4}/i.test(last), last);
  return last;
}

describe("a key restricted by a domain's id", () => {
  it('may send from that domain, in From and Sender, and the refusal names the domain', async t => {
    const to = await keyed('acme.test');
    await accepted(t, to, from('a@ACME.test', 'Sender: b@acme.test'));
    assert.match(
      await refused(t, to, 'a@other.test'),
      /may only send from acme\.test, but the From address is at other/,
    );
    const sender = from('a@acme.test', 'Sender: b@other.test');
    assert.match((await submit(t, to, sender, {}, '550 5.7.1 ')).last, /may only send from acme\.test, but the Sender/);
  });

  it('is read in upper case and with white space around, of the id and of the name', async t => {
    for (const [name, restriction] of [
      ['acme.test', (id: string) => id.toUpperCase()],
      ['acme.test', (id: string) => ` \t${id}\r\n`],
      [' ACME.Test\n', (id: string) => id],
      ['bücher.test', (id: string) => id],
      ['XN--BCHER-KVA.test', (id: string) => id],
    ] as const) {
      const to = await keyed(name, restriction);
      const domain = name.toLowerCase().trim();
      await accepted(t, to, from(`a@${domain}`), { from: 'bounces@elsewhere.test' });
      await refused(t, to, 'a@other.test');
    }
  });

  it('that is no domain of the owner lets nothing through', async t => {
    const stranger = await keyed('acme.test');
    for (const id of [randomUUID(), stranger.id, '00000000-0000-0000-0000-000000000000']) {
      const to = await keyed('acme.test', () => id);
      assert.match(
        await refused(t, to, 'a@acme.test'),
        /restricted to a domain that is not one of your domains any more/,
      );
      await refused(t, to, 'a@other.test');
    }
    for (const name of ['', '  ']) await refused(t, await keyed(name), 'a@acme.test');
  });

  it('is that one domain where several have its name', async t => {
    const to = await keyed('acme.test');
    const second = await addDomain(to.owner.userId, 'Acme.Test');
    await accepted(t, to, from('a@acme.test'));
    await relay.db.query('update domains set name = $1 where id = $2', ['renamed.test', second]);
    await accepted(t, to, from('a@acme.test'));
  });
});

describe('a key restricted by what looks like no id', () => {
  it('is restricted by a name, and never fails', async t => {
    for (const name of ['acme.test', ' Acme.Test ', '00000000-0000-4000-8000-00000000000g', 'a'.repeat(36), '{x}']) {
      const to = await keyed('acme.test', () => name);
      if (/acme/i.test(name)) await accepted(t, to, from('a@acme.test'));
      await submit(t, to, from('a@other.test'), {}, '550 5.7.1 This API key may only send from ');
    }
  });
});

describe("senderDomains: owned on OpenSend's table", () => {
  it('knows a domain by its name, however often and in whatever case it is there', async t => {
    const settings = { senderDomains: 'owned' };
    const owner = await seedOwner(relay.db, { domain: 'other.test', keyDomain: null });
    const owned = await startRelay(t, { queue: false, settings, shareWith: { databaseUrl: relay.databaseUrl, owner } });
    for (const name of ['ACME.test', 'acme.test', ' Shop.test\n', 'bücher.test']) await addDomain(owner.userId, name);
    for (const domain of ['acme.test', 'shop.test', 'xn--bcher-kva.test'])
      await accepted(t, owned, from(`a@${domain}`));
    await addDomain('somebody', 'theirs.test');
    await submit(t, owned, from('a@theirs.test'), {}, '550 5.7.1 theirs.test is not one of your domains');
  });
});

describe('a key restricted by an id, of a trusted network', () => {
  it('is held to its domain too', async t => {
    const to = await keyed('acme.test');
    const settings = { trustedNetworks: [{ network: '127.0.0.0/8', keyId: to.owner.keyId }] };
    const trusting = await startRelay(t, { queue: false, settings, shareWith: to });
    const client = await SmtpClient.greeted(t, trusting);
    const message = (address: string) => ({ from: address, to: ['b@example.com'], data: messageFrom(address) });
    await client.transact(message('a@acme.test'), '250 2.0.0');
    await client.transact(message('a@other.test'), '550 5.7.1 This API key may only send from acme.test');
  });
});

describe('within ten seconds', () => {
  for (const [what, sql, next] of [
    ['is renamed', "update domains set name = 'renamed.test' where id = $1", 'a@renamed.test'],
    ['is removed', 'delete from domains where id = $1', null],
    ['is given to another owner', "update domains set user_id = 'somebody' where id = $1", null],
  ] as const) {
    it(`an open session, also in the middle of a message, notices that its key's domain ${what}`, async t => {
      const to = await keyed('acme.test');
      // The seeded row of the same name is no other way in.
      const [idle, busy] = [await SmtpClient.loggedIn(t, to), await SmtpClient.loggedIn(t, to)];
      const message = (address: string) => ({ from: address, to: ['b@example.com'], data: messageFrom(address) });
      await idle.transact(message('a@acme.test'), '250 2.0.0');
      await busy.command('MAIL FROM:<a@acme.test>', '250 ');
      await busy.command('RCPT TO:<b@example.com>', '250 ');
      await busy.command('DATA', '354 ');
      await relay.db.query(sql, [to.id]);
      letPass(10_000);
      await busy.command(`${messageFrom('a@acme.test')}\r\n.`, '550 5.7.1');
      await idle.transact(message('a@acme.test'), '550 5.7.1');
      if (next) await idle.transact(message(next), '250 2.0.0');
    });
  }
});
