import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { mail } from '../support/mail.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { SmtpClient } from '../support/smtp-client.ts';
import { accepted, countEmails, emailRow, originalRow, storedRow, submit } from './submit.ts';

const relay = await startRelay({ after }, { queue: false });

async function suppress(relay: TestRelay, email: string, userId = relay.owner.userId): Promise<void> {
  const insert = `insert into email_suppressions (user_id, email, reason) values ($1, $2, 'bounced')`;
  await relay.db.query(insert, [userId, email]);
}

function named(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `r${index}@example.com`);
}

describe('recipients by the envelope', () => {
  it('Bcc recipients vanish: those that a client names only in RCPT TO are stored as Bcc', async t => {
    const raw = mail('From: a@acme.test', 'To: Ann <ann@example.com>', 'Cc: Carl <carl@example.com>', '', 'x');
    const row = await storedRow(t, relay, raw, { to: ['ann@example.com', 'carl@example.com', 'hidden@example.com'] });
    assert.deepEqual([row.to, row.cc, row.bcc], [['ann@example.com'], ['carl@example.com'], ['hidden@example.com']]);
  });

  it('with none of them in To, To is [] and the message goes', async t => {
    for (const to of ['To: undisclosed-recipients:;', 'To: list@lists.test', 'X: y']) {
      const row = await storedRow(t, relay, mail('From: a@acme.test', to, '', 'x'), { to: ['hidden@example.com'] });
      assert.deepEqual([row.to, row.cc, row.bcc], [[], null, ['hidden@example.com']]);
    }
  });

  it('the Bcc header does not leave the relay', async t => {
    const raw = mail(
      'From: a@acme.test',
      'To: ann@example.com',
      'Bcc: hidden@example.com',
      'bcc: more@example.com',
      '',
      'x',
    );
    const row = await storedRow(t, relay, raw, { to: ['ann@example.com', 'hidden@example.com'] });
    assert.deepEqual([row.to, row.bcc], [['ann@example.com'], ['hidden@example.com']]);
    assert.doesNotMatch(JSON.stringify(row.headers), /bcc|hidden|more/i);
  });

  it('international domains are stored as A-labels', async t => {
    const raw = mail('From: a@acme.test', 'To: Jörg <j@bücher.test>', '', 'x');
    for (const to of ['j@bücher.test', 'j@xn--bcher-kva.test']) {
      assert.deepEqual((await storedRow(t, relay, raw, { to: [to] })).to, ['j@xn--bcher-kva.test']);
    }
  });

  it('50 beside OpenSend are accepted, the 51st gets 452 4.5.3 and the others still get the message', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
    for (const to of named(50)) await client.command(`RCPT TO:<${to}>`, '250 ');
    await client.command('RCPT TO:<one-more@example.com>', '452 4.5.3');
    await client.command('DATA', '354 ');
    await client.command('From: a@acme.test\r\n\r\nx\r\n.', '250 2.0.0');
  });
});

describe('recipients by the headers', async () => {
  const byHeaders = await startRelay({ after }, { queue: false, settings: { recipients: 'headers' } });

  it('are To, Cc and Bcc; RCPT TO is ignored', async t => {
    const raw = mail(
      'From: a@acme.test',
      'To: Ann <ann@example.com>',
      'Cc: carl@example.com',
      'Bcc: B <b@example.com>',
      '',
      'x',
    );
    const row = await storedRow(t, byHeaders, raw, { to: ['other@example.com'] });
    assert.deepEqual([row.to, row.cc, row.bcc], [['ann@example.com'], ['carl@example.com'], ['b@example.com']]);
    assert.deepEqual(row.headers, {});
  });

  it('that are none get 550', async t => {
    await submit(t, byHeaders, mail('From: a@acme.test', '', 'x'), {}, '550 5.7.1 The message names no recipient');
  });

  it('beyond the limit are 554 5.5.3', async t => {
    const raw = (count: number) => mail('From: a@acme.test', `To: ${named(count).join(', ')}`, '', 'x');
    await accepted(t, byHeaders, raw(50));
    await submit(t, byHeaders, raw(51), {}, '554 5.5.3 The To, Cc and Bcc ');
  });

  it('that are suppressed refuse the message', async t => {
    await suppress(byHeaders, 'gone@example.com');
    const raw = mail('From: a@acme.test', 'To: ann@example.com', 'Bcc: Gone <GONE@example.com>', '', 'x');
    await submit(t, byHeaders, raw, {}, '550 5.7.1 gone@example.com');
  });

  it('are the envelope of the standalone pipeline', async t => {
    const settings = { pipeline: 'standalone', recipients: 'headers' };
    const standalone = await startRelay(t, { queue: false, settings });
    const raw = mail('From: a@acme.test', 'To: ann@example.com', 'Bcc: b@example.com', '', 'x');
    const id = await accepted(t, standalone, raw, { to: ['ignored@example.com'] });
    assert.deepEqual((await originalRow(standalone, id))?.recipients, ['ann@example.com', 'b@example.com']);
  });
});

describe('suppression', () => {
  it('of any recipient refuses the message with 550 5.7.1, which names the address, and nothing is stored', async t => {
    await suppress(relay, 'bounced@example.com');
    const before = await countEmails(relay);
    for (const [header, to] of [
      ['To: bounced@example.com', ['ann@example.com', 'bounced@example.com']],
      ['Cc: bounced@example.com', ['bounced@example.com']],
      ['To: ann@example.com', ['ann@example.com', 'Bounced@EXAMPLE.com']],
    ] as const) {
      const reply = await submit(t, relay, mail('From: a@acme.test', header, '', 'x'), { to }, '550 5.7.1 ');
      assert.match(reply.last, /bounced@example\.com .*suppression list/i);
    }
    assert.equal(await countEmails(relay), before);
  });

  it('leaves the session usable', async t => {
    await suppress(relay, 'again@example.com');
    const client = await SmtpClient.loggedIn(t, relay);
    const data = 'From: a@acme.test\r\n\r\nx';
    await client.transact({ from: 'a@acme.test', to: ['again@example.com'], data }, '550 5.7.1');
    await client.transact({ from: 'a@acme.test', to: ['ann@example.com'], data }, '250 2.0.0');
  });

  it("of another owner's list does not count", async t => {
    await suppress(relay, 'free@example.com', 'somebody_else');
    await accepted(t, relay, mail('From: a@acme.test', '', 'x'), { to: ['free@example.com'] });
  });

  it('counts for international domains in either spelling of the list', async t => {
    await suppress(relay, 'unicode@bücher.test');
    await suppress(relay, 'ascii@xn--bcher-kva.test');
    for (const to of [
      'unicode@bücher.test',
      'unicode@xn--bcher-kva.test',
      'ascii@BÜCHER.test',
      'ascii@xn--bcher-kva.test',
    ]) {
      await submit(t, relay, mail('From: a@acme.test', '', 'x'), { to: [to] }, '550 5.7.1');
    }
  });

  it('recipient: refuses that one at RCPT with 550 5.1.1, and the others get the message', async t => {
    const each = await startRelay(t, { queue: false, settings: { suppression: 'recipient' } });
    await suppress(each, 'bounced@example.com');
    const client = await SmtpClient.loggedIn(t, each);
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
    await client.command('RCPT TO:<ann@example.com>', '250 ');
    await client.command('RCPT TO:<Bounced@example.com>', '550 5.1.1 ');
    await client.command('DATA', '354 ');
    const { last } = await client.command(
      'From: a@acme.test\r\nTo: ann@example.com, bounced@example.com\r\n\r\nx\r\n.',
      '250 ',
    );
    const row = await emailRow(each, last.split(' ').at(-1) ?? '');
    assert.deepEqual([row.to, row.cc, row.bcc], [['ann@example.com'], null, null]);
  });

  it('recipient: has no meaning for recipients by the headers, where the message is refused', async t => {
    const settings = { suppression: 'recipient', recipients: 'headers' };
    const each = await startRelay(t, { queue: false, settings });
    await suppress(each, 'bounced@example.com');
    const raw = mail('From: a@acme.test', 'To: bounced@example.com', '', 'x');
    await submit(t, each, raw, { to: ['bounced@example.com'] }, '550 5.7.1 bounced@example.com');
  });
});
