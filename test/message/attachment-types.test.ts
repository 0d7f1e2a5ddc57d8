import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { rowHeaders } from '../../src/message/row-fields.ts';
import { mail, multipart } from '../support/mail.ts';
import { read } from './read-parts.ts';

async function typeOf(contentType: string): Promise<string | undefined> {
  const text = mail('Content-Type: text/plain', '', 'see the file');
  const file = mail(`Content-Type: ${contentType}`, 'Content-Disposition: attachment; filename=f', '', 'a;b');
  return (await read(multipart('mixed', text, file))).attachments[0]?.content_type;
}

describe('content_type of an attachment', () => {
  it('keeps the charset of a text that is not UTF-8, and drops what adds nothing', async () => {
    assert.equal(await typeOf('text/csv; charset=windows-1252; name=f'), 'text/csv; charset=windows-1252');
    assert.equal(await typeOf('text/csv; charset="UTF-8"'), 'text/csv');
    assert.equal(await typeOf('text/csv; charset=us-ascii'), 'text/csv');
    assert.equal(await typeOf('application/json; charset=windows-1252'), 'application/json');
  });
});

describe('the row’s headers', () => {
  it('name no blind recipient', () => {
    const field = { name: 'Resent-Bcc', value: 'secret@acme.test', spaceBeforeColon: false };
    assert.deepEqual(rowHeaders([field]), {});
  });
});
