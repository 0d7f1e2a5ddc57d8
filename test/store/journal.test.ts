import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { pino } from 'pino';
import { newTrace } from '../../src/observability/tracing.ts';
import type { Facts } from '../../src/store/delivery/facts.ts';
import { createJournal } from '../../src/store/delivery/journal.ts';
import { newMessage } from '../support/stored.ts';

const CALL = { transport: 'ses', recipients: ['to@example.com'], code: null, message: null, providerMessageId: 'x' };

function facts(transport = 'ses'): Facts {
  const message = { recipients: CALL.recipients, raw: Buffer.from('secret') };
  const claim = { emailId: 'id', token: 'token', try: 0, message, earlier: [] } as never;
  const attempts = [{ ...CALL, transport, outcome: 'sent' as const, startedAt: new Date(5) }];
  const standing = { kind: 'sent' } as const;
  const settlement = { claim, standing, attempts, events: [], trace: newTrace(), notice: newMessage() };
  return { settlement, worker: 'a' };
}

async function openJournal(t: TestContext) {
  const parent = await mkdtemp(join(tmpdir(), 'smtp-relay-journal-'));
  t.after(() => rm(parent, { recursive: true, force: true }));
  const lines: { readonly level: number }[] = [];
  const logger = pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const directory = join(parent, 'journal');
  return { directory, parent, lines, logger, journal: createJournal({ directory, logger }) };
}

describe('the journal', () => {
  it('gives the next worker what it was given, without the message itself, and only until it is written', async t => {
    const { directory, journal, logger } = await openJournal(t);
    const entry = journal.entry(facts());
    await Promise.all([entry.keep(), entry.keep()]);
    assert.equal((await readdir(directory)).length, 1);
    assert.equal((await stat(directory)).mode & 0o777, 0o700);
    const [left, ...others] = await createJournal({ directory, logger }).read();
    assert.equal(others.length, 0);
    assert.deepEqual(left?.facts.settlement.attempts, facts().settlement.attempts);
    assert.equal(left.facts.worker, 'a');
    assert.equal(left.facts.settlement.claim.message.raw, null);
    assert.ok(Buffer.isBuffer(left.facts.settlement.notice?.original?.raw));
    await left.entry.forget();
    await entry.forget();
    assert.deepEqual(await readdir(directory), []);
  });

  it('has no place for what no transport has answered', async t => {
    const { directory, journal } = await openJournal(t);
    assert.deepEqual(await journal.read(), []);
    await journal.entry(facts('none')).keep();
    assert.deepEqual(await readdir(directory), []);
  });

  it('leaves what it cannot read where it is, and says so', async t => {
    const { directory, journal, lines } = await openJournal(t);
    await journal.entry(facts()).keep();
    await writeFile(join(directory, 'broken.outcome'), 'half');
    assert.equal((await journal.read()).length, 1);
    assert.ok((await readdir(directory)).includes('broken.outcome'));
    assert.deepEqual(
      lines.map(({ level }) => level),
      [50],
    );
  });

  it('says at the start that it cannot be, and fails nobody for it', async t => {
    const { directory, journal, lines } = await openJournal(t);
    await writeFile(directory, 'a file');
    assert.deepEqual(await journal.read(), []);
    assert.equal(lines[0]?.level, 40);
    await journal.entry(facts()).keep();
    assert.equal(lines[1]?.level, 50);
  });
});
