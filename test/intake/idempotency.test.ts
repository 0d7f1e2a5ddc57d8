import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { mail, multipart } from '../support/mail.ts';
import { seedOwner } from '../support/owner.ts';
import { startRelay } from '../support/relay.ts';
import { accepted, collectJobs, countEmails, emailRow, submit } from './submit.ts';

const relay = await startRelay({ after }, {});
const jobs = collectJobs(relay);

let tries = 0;

/** A message as a client composes it anew for each try: with another date, id and boundary. */
function message(
  key: string,
  { from = 'a@acme.test', subject = 'Order 1', text = 'Grüße', file = 'PDF' } = {},
): Buffer {
  tries += 1;
  const header = mail(
    `From: ${from}`,
    'To: b@example.com',
    `Subject: ${subject}`,
    `Date: Mon, 01 Jan 2024 00:00:${10 + (tries % 50)} +0000`,
    `Message-ID: <${tries}@acme.test>`,
    `X-OpenSend-Idempotency-Key: ${key}`,
  );
  const attachment = mail('Content-Type: application/pdf; name=a.pdf', '', file);
  // The boundary depends on what the parts have.
  return Buffer.concat([header, multipart('mixed', mail(`X-Try: ${tries}`, '', text), attachment)]);
}

const conflict = '550 5.7.1 This idempotency key was used for another message';

describe('an idempotency key', () => {
  it('answers the first id again for the same message; nothing is stored or published anew', async t => {
    const first = await accepted(t, relay, message('same'));
    const before = await countEmails(relay);
    for (let again = 0; again < 3; again += 1) assert.equal(await accepted(t, relay, message('same')), first);
    assert.equal(await countEmails(relay), before);
    // A job that comes behind shows that no second one is on its way.
    const last = await accepted(t, relay, message('behind'));
    await jobs.jobOf(last);
    assert.equal(jobs.jobsOf(first).length, 1);
  });

  it('knows the message in another encoding and another order of recipients', async t => {
    const compose = (...body: string[]) => mail('From: A <a@acme.test>', 'Resend-Idempotency-Key: encoding', ...body);
    const to = ['b@example.com', 'C@example.com'];
    const first = await accepted(t, relay, compose('Content-Type: text/plain; charset=utf-8', '', 'é'), { to });
    const again = compose('Content-Transfer-Encoding: quoted-printable', '', '=C3=A9');
    assert.equal(await accepted(t, relay, again, { to: ['c@example.com', 'b@example.com'] }), first);
  });

  it('with other recipients is a new message, since clients split', async t => {
    const first = await accepted(t, relay, message('split'), { to: ['b@example.com'] });
    const second = await accepted(t, relay, message('split'), { to: ['c@example.com'] });
    assert.notEqual(second, first);
    assert.equal(await accepted(t, relay, message('split'), { to: ['b@example.com'] }), first);
    assert.equal(await accepted(t, relay, message('split'), { to: ['c@example.com'] }), second);
    const other = await accepted(t, relay, message('split'), { from: 'bounces@acme.test' });
    assert.ok(other !== first && other !== second, 'the reverse-path belongs to the envelope');
  });

  for (const [what, change] of [
    ['another From', { from: 'other@acme.test' }],
    ['another display name', { from: 'Name <a@acme.test>' }],
    ['another subject', { subject: 'Order 2' }],
    ['another text', { text: 'Grüsse' }],
    ['another attachment', { file: 'PDG' }],
  ] as const) {
    it(`with ${what} gets 550 5.7.1, also for other recipients`, async t => {
      const key = what.replaceAll(' ', '-');
      await accepted(t, relay, message(key));
      await submit(t, relay, message(key, change), {}, conflict);
      await submit(t, relay, message(key, change), { to: ['c@example.com'] }, conflict);
    });
  }

  it("is the owner's own", async t => {
    const first = await accepted(t, relay, message('tenants'));
    const tenant = { ...relay, owner: await seedOwner(relay.db) };
    const other = await accepted(t, tenant, message('tenants', { text: 'another text' }));
    assert.notEqual(other, first);
  });

  it('is not kept in emails, whose index never expires', async t => {
    assert.equal((await emailRow(relay, await accepted(t, relay, message('column')))).idempotency_key, null);
  });

  it('counts for 24 hours', async t => {
    const age = (hours: string) =>
      relay.db.query(`update smtp_relay_idempotency set created_at = now() - $1::interval where key = 'old'`, [hours]);
    const first = await accepted(t, relay, message('old'));
    await age('23 hours 59 minutes');
    assert.equal(await accepted(t, relay, message('old')), first);
    await submit(t, relay, message('old', { text: 'new' }), {}, conflict);
    await age('24 hours 1 second');
    const second = await accepted(t, relay, message('old', { text: 'new' }));
    assert.notEqual(second, first);
    assert.equal(await accepted(t, relay, message('old', { text: 'new' })), second);
  });

  it('used by sessions at the same time stores one message', async t => {
    const before = await countEmails(relay);
    const ids = await Promise.all(Array.from({ length: 6 }, () => accepted(t, relay, message('race'))));
    assert.equal(new Set(ids).size, 1);
    assert.equal(await countEmails(relay), before + 1);
  });

  it('used at the same time for two messages is given to one', async t => {
    const replies = await Promise.all(
      ['one', 'two'].map(text => submit(t, relay, message('two-messages', { text }), {})),
    );
    assert.deepEqual(replies.map(({ code }) => code).sort(), [250, 550]);
  });

  it('is not used up by a message that is refused', async t => {
    await submit(t, relay, message('refused', { from: 'a@other.test' }), {}, '550 5.7.1 This API key');
    await accepted(t, relay, message('refused'));
  });

  it('that is empty or too long is refused', async t => {
    for (const key of ['', 'k'.repeat(257)])
      await submit(t, relay, message(key), {}, '550 5.7.1 Header X-OpenSend-Idem');
  });

  it('works in the standalone pipeline, which has no attachments in its rows', async t => {
    const standalone = await startRelay(t, { queue: false, settings: { pipeline: 'standalone' } });
    const first = await accepted(t, standalone, message('standalone'));
    assert.equal(await accepted(t, standalone, message('standalone')), first);
    await submit(t, standalone, message('standalone', { file: 'another' }), {}, conflict);
    assert.equal(await countEmails(standalone), 1);
  });

  it('knows recipients by the headers where those decide', async t => {
    const byHeaders = await startRelay(t, { queue: false, settings: { recipients: 'headers' } });
    const compose = (to: string) => mail('From: a@acme.test', `To: ${to}`, 'X-OpenSend-Idempotency-Key: k', '', 'x');
    const first = await accepted(t, byHeaders, compose('b@example.com'));
    assert.notEqual(await accepted(t, byHeaders, compose('c@example.com')), first);
    assert.equal(await accepted(t, byHeaders, compose('b@example.com'), { to: ['other@example.com'] }), first);
  });
});
