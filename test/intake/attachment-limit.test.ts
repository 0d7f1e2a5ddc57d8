import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { base64Lines, mail, multipart } from '../support/mail.ts';
import { TOO_LARGE_FOR_SES } from '../support/opensend/sent.ts';
import { startRelay } from '../support/relay.ts';
import { SmtpClient } from '../support/smtp-client.ts';
import { accepted, countEmails, submit } from './submit.ts';

const relay = await startRelay({ after }, { queue: false, unsendable: TOO_LARGE_FOR_SES });

/** 3 bytes are 4 of Base64: the largest content is 31,457,280 bytes long. */
const LIMIT = 41_943_040;
const LARGEST = (LIMIT / 4) * 3;

function withAttachments(...sizes: readonly number[]): Buffer {
  const attachments = sizes.map(size =>
    mail(
      'Content-Type: application/zip; name=a.zip',
      'Content-Transfer-Encoding: base64',
      '',
      base64Lines(Buffer.alloc(size, 0x5a)),
    ),
  );
  return Buffer.concat([mail('From: a@acme.test'), multipart('mixed', mail('', 'text'), ...attachments)]);
}

describe('attachments', () => {
  it('of exactly 41,943,040 bytes after Base64, line breaks not counted, are accepted, one byte more gets 552 5.3.4', async t => {
    const id = await accepted(t, relay, withAttachments(LARGEST));
    const lengths = `select length(attachments -> 0 ->> 'content') as content, text from emails where id = $1`;
    const breaks = 2 * (Math.ceil(LIMIT / 76) - 1);
    assert.deepEqual((await relay.db.query(lengths, [id])).rows, [{ content: LIMIT + breaks, text: 'text\n' }]);
    await submit(t, relay, withAttachments(LARGEST - 3, 4), {}, '552 5.3.4 Attachments are larger than 41943040 bytes');
    assert.equal(await countEmails(relay), 1);
  });

  it('over the limit leave the session usable, and nothing stored, in both pipelines', async t => {
    for (const pipeline of ['opensend', 'standalone']) {
      const settings = { pipeline, 'limits.attachmentBytes': 4_000 };
      const small = await startRelay(t, { queue: false, settings });
      await accepted(t, small, withAttachments(3_000));
      const client = await SmtpClient.loggedIn(t, small);
      const envelope = { from: 'a@acme.test', to: ['b@example.com'] };
      for (const sizes of [[3_001], [1_500, 1_501], [300_000]]) {
        await client.transact({ ...envelope, data: withAttachments(...sizes) }, '552 5.3.4 ');
      }
      await client.transact({ ...envelope, data: 'From: a@acme.test\r\n\r\nx' }, '250 2.0.0');
      assert.equal(await countEmails(small), 2);
    }
  });
});
