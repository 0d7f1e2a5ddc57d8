import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { pino } from 'pino';
import { createCaptureTransport } from '../../src/delivery/transport/capture/transport.ts';
import { never, outgoing } from './support/smarthost.ts';

const logger = pino({ level: 'silent' });
const NOON = new Date('2026-11-23T12:00:00.123Z');
const STEM = '20261123T120000.123Z-6f1c2d1e-0000-4000-8000-000000000001';

async function folder(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'capture-test-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return join(directory, 'a', 'b');
}

describe('the capture transport', () => {
  it('writes the bytes as they are, and the envelope beside them', async t => {
    const directory = await folder(t);
    const transport = createCaptureTransport({ directory, logger, now: () => NOON });
    const raw = Buffer.from([...Buffer.from('Subject: x\r\n\r\n.\r\n'), ...Array(256).keys()]);
    const tags = [{ name: 'campaign', value: 'spring' }];
    const recipients = ['ann@example.com', 'bob@example.com'];
    const outcomes = await transport.send(outgoing({ raw, tags, recipients }), never);
    assert.deepEqual(outcomes, [{ recipients, outcome: { kind: 'sent', providerMessageId: `${STEM}.eml` } }]);
    assert.deepEqual((await readdir(directory)).sort(), [`${STEM}.eml`, `${STEM}.json`]);
    assert.deepEqual(await readFile(join(directory, `${STEM}.eml`)), raw);
    assert.deepEqual(JSON.parse(await readFile(join(directory, `${STEM}.json`), 'utf8')), {
      emailId: '6f1c2d1e-0000-4000-8000-000000000001',
      reversePath: 'bounces@acme.test',
      recipients,
      from: 'a@acme.test',
      tags,
      bodyType: '7BIT',
      smtpUtf8: false,
      sha256: createHash('sha256').update(raw).digest('hex'),
      receivedAt: '2026-11-23T12:00:00.123Z',
    });
  });

  it('keeps what it writes from other users', async t => {
    const directory = await folder(t);
    await createCaptureTransport({ directory, logger, now: () => NOON }).send(outgoing(), never);
    assert.equal((await stat(directory)).mode & 0o777, 0o700);
    assert.equal((await stat(join(directory, `${STEM}.eml`))).mode & 0o777, 0o600);
  });

  it('overwrites nothing, in whatever order calls come', async t => {
    const directory = await folder(t);
    const transport = createCaptureTransport({ directory, logger, now: () => NOON });
    const calls = Array.from({ length: 20 }, (_, number) => outgoing({ recipients: [`r${number}@example.com`] }));
    const outcomes = await Promise.all(calls.map(call => transport.send(call, never)));
    assert.ok(outcomes.flat().every(({ outcome }) => outcome.kind === 'sent'));
    const names = (await readdir(directory)).filter(name => name.endsWith('.json'));
    const envelopes = await Promise.all(
      names.map(async name => JSON.parse(await readFile(join(directory, name), 'utf8'))),
    );
    assert.equal(new Set(envelopes.map(({ recipients }) => recipients[0])).size, 20);
    assert.equal((await readdir(directory)).length, 40);
    assert.ok(names.includes(`${STEM}-2.json`) && names.includes(`${STEM}-20.json`));
  });

  it('leaves alone a file that another has put there', async t => {
    const directory = await folder(t);
    const transport = createCaptureTransport({ directory, logger, now: () => NOON });
    await transport.send(outgoing(), never);
    await rm(join(directory, `${STEM}.eml`));
    await writeFile(join(directory, `${STEM}.json`), 'mine');
    await transport.send(outgoing(), never);
    assert.equal(await readFile(join(directory, `${STEM}.json`), 'utf8'), 'mine');
    assert.ok((await readdir(directory)).includes(`${STEM}-2.eml`));
  });

  it('makes a safe name of any id', async t => {
    const directory = await folder(t);
    const transport = createCaptureTransport({ directory, logger, now: () => NOON });
    await transport.send(outgoing({ emailId: '../../etc/passwd\0' }), never);
    assert.deepEqual((await readdir(directory)).sort(), [
      '20261123T120000.123Z-______etc_passwd_.eml',
      '20261123T120000.123Z-______etc_passwd_.json',
    ]);
  });

  it('is transient where nothing can be written, and leaves nothing behind', async t => {
    const directory = await folder(t);
    const transport = createCaptureTransport({ directory, logger });
    await transport.send(outgoing(), never);
    const file = join(directory, 'file');
    await writeFile(file, '');
    const below = createCaptureTransport({ directory: join(file, 'x'), logger });
    const [result] = await below.send(outgoing(), never);
    assert.ok(result?.outcome.kind === 'transient' && result.outcome.code === 'ENOTDIR', JSON.stringify(result));
    assert.doesNotMatch(result.outcome.message, /\//);
  });

  it('writes nothing once the worker is stopping', async t => {
    const directory = await folder(t);
    const [result] = await createCaptureTransport({ directory, logger }).send(outgoing(), AbortSignal.abort());
    assert.equal(result?.outcome.kind, 'transient');
    await assert.rejects(stat(directory), { code: 'ENOENT' });
  });
});
