import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { rowHeaders } from '../../src/message/header/row-headers.ts';
import { mail, multipart } from '../support/mail.ts';
import { read } from './read-parts.ts';

async function typeOf(contentType: string): Promise<string | undefined> {
  const text = mail('Content-Type: text/plain', '', 'see the file');
  const file = mail(`Content-Type: ${contentType}`, 'Content-Disposition: attachment; filename=f', '', 'a;b');
  return (await read(multipart('mixed', text, file))).attachments[0]?.content_type;
}

describe('content_type of an attachment', () => {
  it('has no parameters', async () => {
    assert.equal(await typeOf('text/csv; charset=windows-1252; name=f'), 'text/csv');
    assert.equal(await typeOf('Text/Calendar; method=REQUEST; charset="UTF-8"'), 'text/calendar');
    assert.equal(await typeOf('application/vnd.x+json;v=1'), 'application/vnd.x+json');
  });

  it('is application/octet-stream where it is no token, slash, token', async () => {
    const types = [
      'pdf',
      'application/',
      '/pdf',
      'a/b/c',
      'application/p df',
      'application/p\u0001df',
      'application/é',
      `application/${'x'.repeat(1_000)}`,
      '=?utf-8?Q?application/pdf=0D=0ABcc:_x@y.test?=',
    ];
    for (const type of types) assert.equal(await typeOf(type), 'application/octet-stream', type);
  });
});

describe('the row’s headers', () => {
  it('name no blind recipient', () => {
    const field = { name: 'Resent-Bcc', value: 'secret@acme.test', spaceBeforeColon: false };
    assert.deepEqual(rowHeaders([field]), {});
  });
});
