import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Details } from '../../src/inbox/contract.ts';
import { setSandbox } from '../../src/store/keys/sandbox.ts';
import { deleteOldArrivals, findArrival, type KeptArrival } from '../../src/store/sessions/arrivals.ts';
import { startSmarthost } from '../delivery/support/smarthost.ts';
import { eventually } from '../support/eventually.ts';
import { mail } from '../support/mail.ts';
import { emailIdOf, SmtpClient } from '../support/smtp-client.ts';
import { startInbox, type TestInbox } from './inbox.ts';

const MESSAGE = mail(
  'From: shop@acme.test',
  'To: ada@example.com',
  'Subject: Hello',
  '',
  'A secret in the body',
).toString();
const transaction = { from: 'shop@acme.test', to: ['ada@example.com'], data: MESSAGE };

/** With its session, which is written a second later. */
async function withSession({ ask }: TestInbox, id: string, isDone = (_: Details) => true): Promise<Details> {
  const found = await eventually(async () => {
    const details = await ask<Details>(`/api/messages/${id}`);
    return details.transcript !== null && isDone(details) && details;
  });
  return found as Details;
}

const textOf = ({ transcript }: Details): string[] => (transcript?.lines ?? []).map(({ by, text }) => `${by} ${text}`);

describe('the session of a message', () => {
  it('is kept from the connection to the 250, and the timeline begins with it', async t => {
    const inbox = await startInbox(t, { queue: true });
    const id = await inbox.send({ data: MESSAGE });
    const isDone = ({ timeline }: Details) =>
      timeline.some(({ stage }) => stage === 'publish') && timeline.some(({ stage }) => stage === 'send');
    const details = await withSession(inbox, id, isDone);
    const lines = textOf(details);
    assert.equal(lines[0], 'S 220 relay.test ESMTP');
    for (const line of [
      /^- TLS: TLSv1\.[23], TLS_/,
      /^C AUTH PLAIN \(hidden\)$/,
      /^S 235 /,
      /^C MAIL FROM:<shop@acme\.test>/,
      /^- a message of \d+ bytes$/,
    ])
      assert.ok(
        lines.some(text => line.test(text)),
        `${line} in ${lines.join('\n')}`,
      );
    assert.equal(lines.at(-1), `S 250 2.0.0 Ok: queued as ${id}`);
    assert.ok(!lines.join('\n').includes('secret'));
    const stages = details.timeline.map(({ stage }) => stage);
    assert.deepEqual(stages.slice(0, 6), ['connect', 'tls', 'login', 'receive', 'checks', 'commit']);
    assert.deepEqual(stages.slice(6, 9).toSorted(), ['claim', 'publish', 'send']);
    const times = details.timeline.slice(0, 6).map(({ at }) => at);
    assert.deepEqual(times, times.toSorted());
    const { rows } = await inbox.relay.db.query('select key_id from smtp_relay_arrivals');
    assert.deepEqual(rows, [{ key_id: inbox.relay.owner.keyId }]);
  });

  it('has what it began with for each of its messages, and what concerns others for none', async t => {
    const inbox = await startInbox(t);
    const client = await SmtpClient.loggedIn(t, inbox.relay);
    await client.transact({ ...transaction, to: ['first@example.com'] }, '250 ');
    await client.transact({ ...transaction, to: ['second@example.com'] }, '250 ');
    const id = emailIdOf(await client.transact({ ...transaction, to: ['third@example.com'] }, '250 '));
    const lines = textOf(await withSession(inbox, id));
    assert.equal(lines[0], 'S 220 relay.test ESMTP');
    assert.ok(lines.includes('- logged in; 2 messages accepted until then'), lines.join('\n'));
    assert.match(lines.join('\n'), /third@/);
    assert.doesNotMatch(lines.join('\n'), /first@|second@/);
  });

  it('goes with the message, and after its time', async t => {
    const inbox = await startInbox(t);
    const kept = (id: string): Promise<KeptArrival | null> => findArrival(inbox.relay.db, id);
    const [first, second] = [await inbox.send({ data: MESSAGE }), await inbox.send({ data: MESSAGE })];
    await withSession(inbox, second, ({ message }) => message.status === 'sent');
    await eventually(async () => (await kept(first)) !== null);
    await eventually(async () => {
      const { status } = await fetch(`${inbox.url}/api/messages/${first}`, { method: 'DELETE' });
      return status === 204;
    });
    assert.equal(await kept(first), null);
    await deleteOldArrivals(inbox.relay.db, 86_400_000);
    assert.notEqual(await kept(second), null);
    await inbox.relay.db.query("update smtp_relay_arrivals set kept_at = now() - interval '2 days'");
    await deleteOldArrivals(inbox.relay.db, 86_400_000);
    assert.equal(await kept(second), null);
    const { timeline } = await inbox.ask<Details>(`/api/messages/${second}`);
    assert.deepEqual(
      timeline.slice(0, 2).map(({ stage }) => stage),
      ['receive', 'commit'],
    );
  });

  it('is kept where nothing is sent to anybody: beside a transport that sends, of keys in sandbox alone', async t => {
    const smarthost = await startSmarthost(t);
    const smtp = { transport: 'smtp', 'smtp.host': '127.0.0.1', 'smtp.port': smarthost.port, 'smtp.security': 'none' };
    const inbox = await startInbox(t, { settings: smtp, relaySettings: smtp });
    const { relay } = inbox;
    const real = await inbox.send({ data: MESSAGE });
    await eventually(() => smarthost.messages.length === 1);
    await setSandbox(relay.db, relay.owner.keyId, true);
    // What is known of a key is a few seconds old.
    await eventually(async () => {
      const sent = await inbox.send({ data: MESSAGE });
      return (
        (await relay.db.query('select from smtp_relay_messages where email_id = $1 and sandbox', [sent])).rowCount === 1
      );
    });
    // That one may have logged in before.
    const id = await inbox.send({ data: MESSAGE });
    assert.equal(textOf(await withSession(inbox, id))[0], 'S 220 relay.test ESMTP');
    assert.equal(await findArrival(relay.db, real), null);
  });

  it('is not kept where sessions are not', async t => {
    const inbox = await startInbox(t, { relaySettings: { 'sessions.kept': 0 } });
    const id = await inbox.send({ data: MESSAGE });
    await inbox.relay.stop();
    assert.equal((await inbox.ask<Details>(`/api/messages/${id}`)).transcript, null);
    assert.equal((await inbox.worker.db.query('select from smtp_relay_arrivals')).rowCount, 0);
  });
});
