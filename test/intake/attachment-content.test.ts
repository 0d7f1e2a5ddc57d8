import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, it } from 'node:test';
import { base64Lines, mail, multipart } from '../support/mail.ts';
import { startRelay } from '../support/relay.ts';
import { accepted } from './submit.ts';

const relay = await startRelay({ after }, { queue: false });

it('beside OpenSend, contents are in the row in the order of the message, whatever their sizes', async t => {
  for (const sizes of [[57 * 3_000], [1_000, 57 * 9_000 + 5, 57 * 5_000, 0], [57 * 20_000, 57 * 20_000]]) {
    const contents = sizes.map(size => base64Lines(randomBytes(size)));
    const attachments = contents.map((content, index) =>
      mail(`Content-Type: application/zip; name=${index}.zip`, 'Content-Transfer-Encoding: base64', '', content),
    );
    const raw = Buffer.concat([mail('From: a@acme.test'), multipart('mixed', mail('', 'text'), ...attachments)]);
    for (const header of ['', `X-OpenSend-Idempotency-Key: ${sizes}\r\n`]) {
      const id = await accepted(t, relay, Buffer.concat([Buffer.from(header), raw]));
      const { rows } = await relay.db.query('select attachments from emails where id = $1', [id]);
      const stored = contents.map((content, index) => {
        return { filename: `${index}.zip`, content, content_type: 'application/zip', content_id: null };
      });
      assert.deepEqual(rows[0].attachments.map(sizeOf), stored.map(sizeOf));
      assert.ok(JSON.stringify(rows[0].attachments) === JSON.stringify(sorted(stored)), 'byte for byte');
    }
  }
});

const sizeOf = ({ content, ...rest }: { readonly content: string }) => ({ ...rest, length: content.length });

/** Members in the order that `jsonb` has them in. */
function sorted(rows: readonly Record<string, unknown>[]) {
  return rows.map(({ content, filename, content_id, content_type }) => ({
    content,
    filename,
    content_id,
    content_type,
  }));
}
