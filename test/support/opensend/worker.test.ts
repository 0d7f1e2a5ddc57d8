import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { SendMessageCommand } from '@aws-sdk/client-sqs';
import { simpleParser } from 'mailparser';
import { sqsClient } from '../../../dev/sqs.ts';
import { createDatabase } from '../database.ts';
import { shared } from '../environment.ts';
import { eventually } from '../eventually.ts';
import { openPool } from '../pool.ts';
import { createQueue } from '../queue.ts';
import { startFakeSes } from '../ses/start.ts';
import { createOpenSendTables } from './tables.ts';
import { OpenSendWorker, type OpenSendWorkerOptions } from './worker.ts';

const ID = '0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11';
const ROW = {
  id: ID,
  from: 'Acme <hello@acme.test>',
  to: ['to@example.com'],
  cc: ['cc@example.com'],
  bcc: ['bcc@example.com'],
  reply_to: ['desk@acme.test'],
  subject: 'Привет',
  html: '<p>ü</p>',
  text: 'ü',
  headers: { 'x-entity-id': 'theirs', 'List-Id': '<list.acme.test>' },
  attachments: [] as object[],
  user_id: 'acme',
};

async function setUp(t: TestContext, options: Partial<OpenSendWorkerOptions> = {}) {
  const url = await createDatabase(t, { empty: true });
  const db = openPool(url, 2);
  t.after(() => db.end());
  await createOpenSendTables(db);
  const ses = await startFakeSes(t);
  const worker = new OpenSendWorker({ db, ses, ...options });
  t.after(async () => worker.close());
  const store = async (fields: Partial<typeof ROW> = {}) => {
    const row = Object.entries({ ...ROW, ...fields });
    const names = row.map(([name]) => `"${name}"`).join(', ');
    const values = row.map(([, value]) => (typeof value === 'object' ? JSON.stringify(value) : value));
    await db.query(`insert into emails (${names}) values (${values.map((_, i) => `$${i + 1}`).join(', ')})`, values);
  };
  const events = async () =>
    (await db.query('select type from email_events order by received_at, type')).rows.map(row => row.type);
  const status = async () => (await db.query('select status from emails')).rows[0].status;
  return { db, ses, worker, store, events, status };
}

const refuse = { kind: 'error', status: 400, name: 'BadRequestException', message: 'No.' } as const;

describe("the stand-in for OpenSend's worker", () => {
  it('lets SES write a message without attachments', async t => {
    const { ses, worker, store, db } = await setUp(t);
    await db.query(`insert into domains (name, user_id, region, ses_configuration_set_name) values
                    ('acme.test', 'acme', 'eu-west-1', 'acme-set'), ('acme.test', 'other', 'eu-west-2', 'wrong')`);
    await store({ from: 'Acme <hello@ACME.test>' });
    assert.deepEqual(await worker.poll(), [{ emailId: ID, outcome: 'sent' }]);
    const [message] = ses.mailbox.messages;
    assert.equal(message?.region, 'eu-west-1');
    assert.equal(message.configurationSet, 'acme-set');
    assert.equal(message.fromEmailAddress, 'Acme <hello@ACME.test>');
    assert.deepEqual(message.destination, {
      ToAddresses: ['to@example.com'],
      CcAddresses: ['cc@example.com'],
      BccAddresses: ['bcc@example.com'],
    });
    assert.deepEqual(message.replyTo, ['desk@acme.test']);
    assert.deepEqual(message.simple, {
      Subject: { Data: 'Привет' },
      Body: { Html: { Data: '<p>ü</p>' }, Text: { Data: 'ü' } },
      Headers: [
        { Name: 'List-Id', Value: '<list.acme.test>' },
        { Name: 'X-Entity-ID', Value: ID },
      ],
    });
    assert.deepEqual(await worker.poll(), []);
  });

  it('writes one with attachments itself, without the text beside HTML', async t => {
    const { ses, worker, store } = await setUp(t);
    await store({
      attachments: [
        { filename: 'a"b.pdf', content: 'AAEC\r\nAwQF', content_type: null, content_id: null },
        { filename: 'logo.png', content: 'AAEC', content_type: 'image/png', content_id: '<logo@acme>' },
        { filename: 'remote.png' },
      ],
    });
    await worker.poll();
    const [message] = ses.mailbox.messages;
    assert.equal(message?.simple, null);
    assert.match(message.raw.toString(), /^Bcc: bcc@example\.com\r$/m);
    assert.match(message.raw.toString(), /\r\nAAEC\r\nAwQF\r\n/);
    const { html, text, attachments, headers, subject } = await simpleParser(message.raw, { skipHtmlToText: true });
    assert.deepEqual([html, text, subject], ['<p>ü</p>', undefined, 'Привет']);
    assert.equal(headers.get('x-entity-id'), ID);
    assert.deepEqual(
      attachments.map(({ filename, contentType, contentDisposition, cid, size }) => [
        filename,
        contentType,
        contentDisposition,
        cid,
        size,
      ]),
      [
        ['a_b.pdf', 'application/pdf', 'attachment', undefined, 6],
        ['logo.png', 'image/png', 'inline', 'logo@acme', 3],
      ],
    );
  });

  it('tries three times, and then fails for good', async t => {
    const { ses, worker, store, events, status, db } = await setUp(t, { wait: () => 0 });
    await store();
    ses.faults.plan({ ...refuse, times: 3 });
    for (const expected of ['delayed', 'delayed', 'failed']) {
      const [delivery] = await worker.poll();
      assert.deepEqual([delivery?.outcome, delivery?.error?.name], [expected, 'BadRequestException']);
    }
    assert.deepEqual(await worker.poll(), []);
    assert.equal(await status(), 'failed');
    assert.deepEqual(await events(), ['delayed', 'delayed', 'failed']);
    const { rows } = await db.query(
      'select provider_retry_count as tries, provider_last_error_message as why from emails',
    );
    assert.deepEqual(rows, [{ tries: 3, why: 'No.' }]);
  });

  it('waits before the next try', async t => {
    const { ses, worker, store } = await setUp(t);
    await store();
    ses.faults.plan({ ...refuse, times: 1 });
    assert.equal((await worker.poll())[0]?.outcome, 'delayed');
    assert.deepEqual(await worker.poll(), []);
    assert.equal((await worker.deliver(ID)).outcome, 'skipped');
  });

  it('cannot send a line break in a header', async t => {
    const { ses, worker, store } = await setUp(t);
    await store({ headers: { 'x-entity-id': '', 'List-Id': 'a\r\n b' } });
    assert.match(String((await worker.poll())[0]?.error), /not a value for List-Id/);
    assert.equal(ses.mailbox.count, 0);
  });

  it('takes jobs from the queue, whose tries count', async t => {
    const queue = await createQueue(t);
    const endpoint = shared('sqsEndpoint');
    const { ses, worker, store, status } = await setUp(t, { queue: { url: queue.url, endpoint }, wait: () => 0 });
    await store();
    const job = { id: `email.send:${ID}`, type: 'email.send', source: 'api', emailId: ID, requestedAt: 'now' };
    const client = sqsClient(endpoint);
    await client.send(new SendMessageCommand({ QueueUrl: queue.url, MessageBody: JSON.stringify(job) }));
    client.destroy();
    ses.faults.plan({ ...refuse, times: 1 });
    const outcomes: string[] = [];
    await eventually(async () => {
      outcomes.push(...(await worker.receive()).map(delivery => delivery.outcome));
      return outcomes.length === 2;
    });
    assert.deepEqual(outcomes, ['delayed', 'sent']);
    assert.equal(await status(), 'sent');
    assert.deepEqual(await queue.receiveAll(), []);
  });

  it('simulates what goes to the simulated recipients alone', async t => {
    const nobody = { cc: [] as string[], bcc: [] as string[] };
    const { db, ses, worker, store, events, status } = await setUp(t);
    await store({ ...nobody, to: ['bounced+label@resend.dev'] });
    assert.equal((await worker.poll())[0]?.outcome, 'simulated');
    assert.deepEqual([await status(), await events()], ['bounced', ['bounced']]);
    const { rows } = await db.query('select email, reason from email_suppressions');
    assert.deepEqual(rows, [{ email: 'bounced+label@resend.dev', reason: 'bounced' }]);
    await store({ id: '1b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11', to: ['delivered@resend.dev'] });
    assert.equal((await worker.poll())[0]?.outcome, 'sent');
    assert.equal(ses.mailbox.count, 1);
  });
});
