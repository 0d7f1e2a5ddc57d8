import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { accepted } from '../intake/submit.ts';
import { eventually } from '../support/eventually.ts';
import { base64Lines, mail, multipart } from '../support/mail.ts';
import { OpenSendWorker } from '../support/opensend/worker.ts';
import { sqsEnv } from '../support/queue.ts';
import { startRelay } from '../support/relay.ts';
import { startFakeSes } from '../support/ses/start.ts';
import { runInProcess } from './run-cli.ts';

/** A relay beside OpenSend, the stand-in for its worker, and the command line. */
async function start(t: TestContext, { queue = true } = {}) {
  const relay = await startRelay(t, { queue });
  const ses = await startFakeSes(t);
  const endpoint = sqsEnv().AWS_ENDPOINT_URL_SQS;
  const worker = new OpenSendWorker({
    db: relay.db,
    ses,
    ...(relay.queue && { queue: { url: relay.queue.url, endpoint } }),
  });
  t.after(async () => worker.close());
  const env = { DATABASE_URL: relay.databaseUrl, ...(relay.queue && { BACKGROUND_JOBS_QUEUE_URL: relay.queue.url }) };
  const run = (...args: string[]) => runInProcess(['emails', ...args], env);
  const row = async (id: string) => (await relay.db.query('select * from emails where id = $1', [id])).rows[0];
  const deliver = async (): Promise<string> => {
    const delivery = await eventually(async () => (relay.queue ? await worker.receive() : await worker.poll())[0]);
    assert.ok(delivery);
    assert.equal(delivery.outcome, 'sent');
    return delivery.emailId;
  };
  const setStatus = (id: string, status: string) =>
    relay.db.query('update emails set status = $2, provider_retry_count = 3, sent_at = now() where id = $1', [
      id,
      status,
    ]);
  return { relay, ses, run, row, deliver, setStatus };
}

const PARTS = [
  mail('Content-Type: text/html', '', '<p>Hello</p>'),
  mail(
    'Content-Type: application/pdf; name=a.pdf',
    'Content-Transfer-Encoding: base64',
    '',
    base64Lines(Buffer.from('%PDF-1.7')),
  ),
];
const HEADER = [
  'From: Acme <a@acme.test>',
  'To: b@example.com',
  'Cc: c@example.com',
  'Subject: Hello',
  'List-Id: <l.acme.test>',
  'X-OpenSend-Tag: kind=letter',
];
const LETTER = Buffer.concat([mail(...HEADER), multipart('mixed', ...PARTS)]);
const TO = { to: ['b@example.com', 'c@example.com', 'd@example.com'] };

describe('smtp-relay emails resend beside OpenSend', { concurrency: 3 }, () => {
  for (const queue of [true, false]) {
    it(`makes a row that its worker sends, ${queue ? 'by a job' : 'which it finds by itself'}`, async t => {
      const { relay, ses, run, row, deliver, setStatus } = await start(t, { queue });
      const id = await accepted(t, relay, LETTER, TO);
      assert.equal(await deliver(), id);
      await setStatus(id, 'failed');
      await relay.db.query("update emails set reply_token = 'token', idempotency_key = 'key' where id = $1", [id]);
      const { code, stdout, stderr } = await run('resend', id, '--json');
      assert.equal(code, 0, stderr);
      const copy = JSON.parse(stdout);
      assert.deepEqual(copy.recipients, TO.to);
      const [first, second] = [await row(id), await row(copy.id)];
      assert.deepEqual(second, {
        ...first,
        id: copy.id,
        status: 'queued',
        created_at: second.created_at,
        reply_token: null,
        idempotency_key: null,
        provider_retry_count: 0,
        sent_at: null,
        provider_last_attempted_at: null,
      });
      assert.match(copy.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
      assert.equal(await deliver(), copy.id);
      const [was, is] = ses.mailbox.messages;
      assert.deepEqual(is?.destination, was?.destination);
      const stable = (raw: Buffer | undefined) =>
        raw
          ?.toString()
          .replaceAll(id, '')
          .replaceAll(copy.id, '')
          .replaceAll(/boundary="?[^"\r\n]+|--[^\r\n]+/g, '');
      assert.equal(stable(is?.raw), stable(was?.raw));
    });
  }

  for (const [what, attachments] of [
    ['without attachments', []],
    [
      'with attachments',
      [
        {
          filename: 'a\r\nb.pdf',
          content: Buffer.alloc(9_000).toString('base64'),
          content_type: 'application/pdf; x',
          content_id: '<1>',
        },
      ],
    ],
  ] as const) {
    it(`mends on the way what SES has refused of an earlier version's row, ${what}`, async t => {
      const { relay, ses, run, row, deliver } = await start(t, { queue: false });
      const old = {
        from: 'Jürgen <j@ACME.test>',
        to: ['Bob <b@example.com>'],
        reply_to: ['a@b <r@acme.test>'],
        html: '',
        text: null,
        headers: { 'Message-ID': '<1@acme.test>', 'X-Empty': '', 'X-Name': 'José\tx', 'List-Id': '<l.acme.test>' },
        attachments,
      };
      const { rows } = await relay.db.query(
        `insert into emails ("from", "to", reply_to, subject, html, text, headers, attachments, status, user_id)
         select "from", "to", reply_to, 'S', html, text, headers, attachments, 'failed', 'acme'
           from jsonb_to_record($1::jsonb) as r ("from" text, "to" jsonb, reply_to jsonb, html text, text text, headers jsonb,
                                                 attachments jsonb)
         returning id`,
        [JSON.stringify(old)],
      );
      const { code, stdout, stderr } = await run('resend', rows[0].id, '--json');
      assert.equal(code, 0, stderr);
      const copy = await row(JSON.parse(stdout).id);
      assert.match(copy.from, /^=\?utf-8\?\w\?\S+\?= <j@acme\.test>$/i);
      assert.match(copy.reply_to[0], /^=\?utf-8\?\w\?\S+\?= <r@acme\.test>$/i);
      assert.deepEqual(
        [copy.to, copy.text, Object.keys(copy.headers).sort()],
        [['b@example.com'], '\n', ['List-Id', 'X-Name']],
      );
      assert.match(copy.headers['X-Name'], /^[ -~]+$/);
      for (const part of copy.attachments) {
        assert.deepEqual([part.filename, part.content_type, part.content_id], ['a b.pdf', 'application/pdf', null]);
        assert.ok(Buffer.from(part.content, 'base64').equals(Buffer.alloc(9_000)));
        assert.ok(part.content.split('\r\n').every((line: string) => line.length <= 76));
      }
      await deliver();
      assert.equal(ses.mailbox.messages.length, 1);
    });
  }

  it('asks before somebody gets it twice, and waits until it is done', async t => {
    const { relay, run, setStatus } = await start(t, { queue: false });
    const id = await accepted(t, relay, LETTER, TO);
    for (const status of ['queued', 'processing', 'scheduled']) {
      await setStatus(id, status);
      assert.match((await run('resend', id)).stderr, new RegExp(`before it is done: its status is ${status}`));
    }
    for (const status of ['sent', 'delivered', 'bounced', 'complained']) {
      await setStatus(id, status);
      assert.match((await run('resend', id)).stderr, /would get it a second time: b@example\.com, c@example\.com, d@/);
      assert.match((await run('resend', id, '--failed-only')).stderr, /it was sent to every recipient/);
    }
    const { code, stderr } = await run('resend', id, '--yes');
    assert.equal(code, 0);
    assert.match(stderr, /No queue is configured here/);
    assert.equal((await relay.db.query('select from smtp_relay_outbox')).rowCount, 0);
  });

  it('refuses a row without the content of its attachments', async t => {
    const { relay, run } = await start(t, { queue: false });
    for (const attachment of [
      { filename: 'a.pdf', size: 8 },
      { filename: 'a.pdf', path: 'https://files.test/a.pdf' },
    ]) {
      const { rows } = await relay.db.query(
        `insert into emails ("from", "to", subject, status, attachments)
         values ('a@acme.test', '["b@example.com"]', '', 'failed', $1) returning id`,
        [JSON.stringify([attachment])],
      );
      const { code, stderr } = await run('resend', rows[0].id);
      assert.deepEqual([code, /does not hold the content of its attachments/.test(stderr)], [1, true]);
    }
  });
});

describe('smtp-relay emails cancel beside OpenSend', { concurrency: true }, () => {
  it("refuses what OpenSend's worker has in its hands, which no claim tells", async t => {
    const { relay, run, row, setStatus } = await start(t);
    const id = await accepted(t, relay, LETTER, TO);
    await setStatus(id, 'processing');
    assert.match((await run('cancel', id)).stderr, /it cannot be cancelled: worker unknown is sending it just now/);
    assert.equal((await row(id)).status, 'processing');
    assert.match((await run('list', '--status', 'processing')).stdout, new RegExp(id));
    await setStatus(id, 'failed');
  });

  it('writes the status that OpenSend knows, and lists both spellings', async t => {
    const { relay, run, row } = await start(t);
    const id = await accepted(t, relay, LETTER, TO);
    assert.deepEqual((await run('cancel', id)).stdout, `${id} is canceled.\n`);
    assert.equal((await row(id)).status, 'canceled');
    const old = await accepted(t, relay, LETTER, TO);
    await relay.db.query("update emails set status = 'cancelled' where id = $1", [old]);
    for (const status of ['canceled', 'cancelled']) {
      const listed = JSON.parse((await run('list', '--status', status, '--json')).stdout);
      assert.deepEqual(listed.map((email: { id: string }) => email.id).sort(), [id, old].sort());
    }
    assert.match((await run('show', old)).stdout, /^Status: +cancelled$/m);
    for (const canceled of [id, old]) assert.equal((await run('resend', canceled)).code, 0);
  });
});
