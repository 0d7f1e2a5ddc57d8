import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { HeaderReader } from '../../src/intake/header-reader.ts';
import { contentOf, decideWith, type HeaderQuestion, readHeader } from '../../src/intake/header-steps.ts';
import { transportLimits } from '../../src/routing/routes.ts';
import { countCpu } from '../support/cpu.ts';

const reader = new HeaderReader({ timeout: 60_000 });
after(() => reader.close());

const question: HeaderQuestion = {
  headerBytes: 1_048_576,
  recipientSource: 'envelope',
  envelope: ['b@example.com', 'c@example.com'],
  mostRecipients: 50,
};
const FACTS = {
  keyDomain: null,
  foreignDomain: null,
  foreignReturn: null,
  suppressed: [],
  outside: [],
  transport: transportLimits('ses'),
  sentAsReceived: true,
};
const NEVER = new AbortController().signal;
const FROM = 'From: Acme <a@acme.test>\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n';

function fill(text: string, bytes = 100_000): string {
  return text.repeat(Math.ceil(bytes / text.length));
}

const LONG = {
  'addresses by the thousand': `To: ${fill('"Some, One" (c) <someone@example.com>,\r\n ')}B <b@example.com>`,
  'a long References': `References: ${fill('<abc@example.com>\r\n ')}`,
  'many lines': fill('X-A: b\r\n').trimEnd(),
  'many names': Array.from({ length: 8_000 }, (_, index) => `X-${index}: b`).join('\r\n'),
  'encoded words': `Subject-2: ${fill('=?utf-8?Q?=C3=BC?=\r\n ')}x`,
  'nested comments': `To: ${'('.repeat(50_000)}${')'.repeat(50_000)} b@example.com`,
  'a field twice': `${fill('X-A: b\r\n')}Date: now\r\nDate: then`,
  'no mailbox': `Reply-To: ${fill('First Last <first@example.com, ')}`,
};

describe('a long header', () => {
  for (const [what, lines] of Object.entries(LONG)) {
    it(`is read in a thread, with the same result as here: ${what}`, async () => {
      const raw = Buffer.from(`${FROM}${lines}\r\n\r\nbody\r\n`);
      assert.ok(reader.isLong(raw));
      const here = readHeader(raw, question);
      const subject = {
        sender: here.header.sender,
        recipients: question.envelope,
        bytes: raw.length,
        longestLine: 100,
        contentFields: { fileNames: [], unreadable: null },
      };
      for (const keepOriginal of [true, false]) {
        const work = await reader.read(raw, question, keepOriginal, NEVER);
        assert.equal(work.fields, null);
        assert.deepEqual(work.header, here.header);
        assert.deepEqual(await work.content(false), contentOf(here, false, keepOriginal));
        const refusal = await work.decide(subject, FACTS);
        assert.deepEqual(refusal?.detail, decideWith(here.fields, subject, FACTS)?.detail);
      }
    });
  }

  it('of more lines than it may have bytes for is refused, folded or not', () => {
    const lines = fill('X: y\r\n', 6 * 16_400);
    const folded = `X: ${fill('y\r\n ', 4 * 16_400)}z\r\n`;
    for (const header of [lines, folded]) {
      assert.throws(() => readHeader(Buffer.from(`${FROM}${header}\r\nbody`), question), {
        code: 552,
        rule: 'header_size',
      });
    }
    readHeader(Buffer.from(`${FROM}${fill('X: y\r\n', 6 * 16_300)}\r\n${fill('\r\n', 100_000)}`), question);
  });

  it('that is refused in the thread is refused here with the same words', async () => {
    const raw = Buffer.from(`${FROM}From: b@acme.test\r\n${fill('X-Long: yes\r\n')}\r\nbody\r\n`);
    const expected = { name: 'Refusal', code: 550, rule: 'from_ambiguous', message: /it stands there twice/ };
    await assert.rejects(async () => reader.read(raw, question, true, NEVER), expected);
  });

  it('is called off with its message', async () => {
    const raw = Buffer.from(`${FROM}${fill('X-Long: yes\r\n')}\r\nbody\r\n`);
    const gone = new Error('gone');
    await assert.rejects(async () => reader.read(raw, question, true, AbortSignal.abort(gone)), gone);
  });

  it('is told from a short one before a long body', () => {
    assert.ok(!reader.isLong(Buffer.from(`${FROM}\r\n${fill('x\r\n')}`)));
    assert.ok(reader.isLong(Buffer.from(fill('X-Long: yes\r\n'))), 'no body at all');
  });
});

it('known defect: comments in From took half a minute', () => {
  const took = countCpu();
  const raw = Buffer.from(`From: ${fill('(a) ', 1_000_000)} a@b.test\r\n\r\nbody`);
  assert.equal(readHeader(raw, question).header.sender.from.address, 'a@b.test');
  assert.ok(took() < 10_000);
});
