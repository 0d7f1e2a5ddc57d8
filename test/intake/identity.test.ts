import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { mail } from '../support/mail.ts';
import { seedOwner } from '../support/owner.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { letPass } from '../support/time.ts';
import { accepted, countEmails, storedRow, submit } from './submit.ts';

const relay = await startRelay({ after }, { queue: false });
const standalone = await startRelay({ after }, { queue: false, settings: { pipeline: 'standalone' } });

const from = (value: string, ...more: readonly string[]) => mail(`From: ${value}`, ...more, '', 'x');

/** The same relay with a key that has another domain, or none, and another owner's domain beside. */
async function withKey(relay: TestRelay, keyDomain: string | null, domain = 'acme.test'): Promise<TestRelay> {
  return { ...relay, owner: await seedOwner(relay.db, { keyDomain, domain }) };
}

describe("the key's domain", () => {
  it('lets From of that domain pass, in any case', async t => {
    const row = await storedRow(t, relay, from('"Acme, Inc." <Hello@ACME.Test>'));
    assert.equal(row.from, '"Acme, Inc." <Hello@acme.test>');
  });

  it('refuses every other with 550 5.7.1 that names both, and stores nothing', async t => {
    const before = await countEmails(relay);
    for (const address of [
      'a@other.test',
      'a@sub.acme.test',
      'a@acme.test.evil.test',
      'a@notacme.test',
      'a@[127.0.0.1]',
    ]) {
      const reply = await submit(t, relay, from(address), {}, '550 5.7.1 ');
      assert.match(reply.last, /may only send from acme\.test, but the From address is at /);
    }
    assert.equal(await countEmails(relay), before);
  });

  it('does not ask about the reverse-path', async t => {
    await accepted(t, relay, from('a@acme.test'), { from: 'bounces@elsewhere.test' });
  });

  it('binds Sender as well', async t => {
    await accepted(t, relay, from('a@acme.test', 'Sender: b@ACME.test'));
    await submit(t, relay, from('a@acme.test', 'Sender: b@other.test'), {}, '550 5.7.1 ');
    await submit(t, relay, from('a@other.test', 'Sender: b@acme.test'), {}, '550 5.7.1 ');
  });

  it('is not passed by what one reader takes for it and another does not', async t => {
    for (const raw of [
      from('a@acme.test', 'From: e@evil.test'),
      from('e@evil.test', 'From: a@acme.test'),
      mail('From : e@evil.test', 'From: a@acme.test', '', 'x'),
      from('a@acme.test, e@evil.test'),
      from('<<a@acme.test>@evil.test>'),
      from('<<e@evil.test>@acme.test>'),
      from('"e@evil.test"@acme.test'),
      from('e@evil.test <a@acme.test>'),
      from('<@evil.test:a@acme.test>'),
      from('Team: a@acme.test;'),
      mail('From:', ' a@acme.test,', ' e@evil.test', '', 'x'),
    ]) {
      await submit(t, relay, raw, {}, '550 5.7.1 From header is ambiguous');
    }
    await submit(t, relay, mail('To: b@example.com', '', 'From: a@acme.test'), {}, '550 5.7.1 The message has no From');
  });

  it('is compared as A-labels', async t => {
    for (const keyDomain of ['bücher.test', 'XN--BCHER-KVA.test']) {
      const keyed = await withKey(relay, keyDomain);
      const row = await storedRow(t, keyed, from('Jörg <a@BÜCHER.test>'), { from: 'a@bücher.test' });
      assert.equal(row.from, '=?UTF-8?B?SsO2cmc=?= <a@xn--bcher-kva.test>');
      await accepted(t, keyed, from('a@xn--bcher-kva.test'));
      await submit(t, keyed, from('a@bucher.test'), {}, '550 5.7.1');
    }
  });

  it('none: every From passes beside OpenSend, which checks domains itself', async t => {
    await accepted(t, await withKey(relay, null), from('a@anywhere.test', 'Sender: b@elsewhere.test'));
  });
});

describe("the owner's domains", () => {
  it('are the only ones that a key without a domain may send from, standalone', async t => {
    const keyed = await withKey(standalone, null);
    await accepted(t, keyed, from('a@Acme.test'));
    const reply = await submit(t, keyed, from('a@other.test'), {}, '550 5.7.1 ');
    assert.match(reply.last, /other\.test is not one of your domains/);
  });

  it('are not those of another tenant, neither in From nor in Sender', async t => {
    const tenant = await withKey(standalone, null, 'tenant.test');
    await accepted(t, tenant, from('a@tenant.test', 'Sender: b@tenant.test'));
    await submit(t, tenant, from('a@acme.test'), {}, '550 5.7.1 acme.test is not one of your domains');
    const sender = from('a@tenant.test', 'Sender: b@acme.test');
    await submit(t, tenant, sender, {}, '550 5.7.1 acme.test is not one of your domains');
  });

  it("are asked beside the key's domain", async t => {
    const keyed = await withKey(standalone, 'unowned.test');
    await submit(t, keyed, from('a@unowned.test'), {}, '550 5.7.1 unowned.test is not one of your domains');
  });

  it('may be written in either spelling', async t => {
    await accepted(t, await withKey(standalone, null, 'bücher.test'), from('a@xn--bcher-kva.test'));
    await accepted(t, await withKey(standalone, null, 'xn--bcher-kva.test'), from('a@bücher.test'));
  });

  it('work within a second or so of being added', async t => {
    const keyed = await withKey(standalone, null);
    await submit(t, keyed, from('a@new.test'), {}, '550 5.7.1');
    await standalone.db.query('insert into domains (name, user_id) values ($1, $2)', ['new.test', keyed.owner.userId]);
    // Those that are known are asked about again only after ten seconds.
    letPass(1_000);
    await accepted(t, keyed, from('a@new.test'));
  });

  it('are asked beside OpenSend too where senderDomains is owned, and not standalone where it is any', async t => {
    const owned = await startRelay(t, { queue: false, settings: { senderDomains: 'owned' } });
    await submit(t, await withKey(owned, null), from('a@other.test'), {}, '550 5.7.1');
    const settings = { pipeline: 'standalone', senderDomains: 'any' };
    const any = await startRelay(t, { queue: false, settings });
    await accepted(t, await withKey(any, null), from('a@other.test'));
  });
});

describe('local parts beyond ASCII', () => {
  it('get 553 5.6.7, in From and in a recipient, since SES cannot deliver them', async t => {
    await submit(t, relay, from('ü@acme.test'), {}, '553 5.6.7 An address');
    const byHeaders = await startRelay(t, { queue: false, settings: { recipients: 'headers' } });
    const raw = mail('From: a@acme.test', 'To: ü@example.com', '', 'x');
    await submit(t, byHeaders, raw, {}, '553 5.6.7 An address');
  });
});
