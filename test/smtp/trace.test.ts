import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { createLogger } from '../../src/observability/log.ts';
import { Onlookers, type WatchedTranscript } from '../../src/store/sessions/onlookers.ts';
import type { SessionLine } from '../../src/store/sessions/sessions.ts';
import {
  deleteOldTraces,
  endTrace,
  findTraces,
  keepTrace,
  type Trace,
  type TraceLine,
  takeTraceLines,
} from '../../src/store/sessions/traces.ts';
import { cliFor } from '../cli/run-cli.ts';
import { eventually } from '../support/eventually.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';

const FROM = 'hello@acme.test';
const NOBODY: Trace = { id: '', keyId: null, client: null, recipient: null };

/** The lines of a session that is there from its beginning to its end. */
function whole(lines: readonly TraceLine[]): TraceLine[] {
  const said = (text: string) => (line: TraceLine) => line.text === text;
  const from = lines.filter(said('STARTTLS')).map(({ session }) => session);
  const { session } = lines.find(line => said('QUIT')(line) && from.includes(line.session)) ?? {};
  return lines.filter(line => line.session === session);
}

/** Sends in new sessions until the relay has found out that somebody looks on, and what was said is fetched. */
async function linesOf(relay: TestRelay, id: string, converse: () => Promise<void>): Promise<TraceLine[]> {
  const lines: TraceLine[] = [];
  await eventually(async () => {
    await converse();
    lines.push(...(await takeTraceLines(relay.db, id)));
    return whole(lines).length > 0;
  });
  return whole(lines);
}

describe('sessions that somebody looks on at', () => {
  it('are shown from all pods as they happen, without credentials and messages', async t => {
    const first = await startRelay(t, { queue: false, settings: { pipeline: 'standalone', 'sessions.kept': 0 } });
    const second = await startRelay(t, {
      queue: false,
      settings: { pipeline: 'standalone' },
      shareWith: { databaseUrl: first.databaseUrl, owner: first.owner },
    });
    const trace = { ...NOBODY, id: randomUUID(), keyId: first.owner.keyId };
    await keepTrace(first.db, trace);
    const all: TraceLine[] = [];
    for (const relay of [first, second]) {
      const lines = await linesOf(relay, trace.id, async () => {
        const client = await SmtpClient.loggedIn(t, relay);
        const data = `${messageFrom(FROM, { subject: 'secret' })}`;
        await client.transact({ from: FROM, to: ['ann@example.com'], data }, '250 ');
        await client.command('QUIT', '221 ');
        const stranger = await SmtpClient.secured(t, relay);
        await stranger.logIn('os_live_wrong', '535 ');
      });
      all.push(...lines);
      const said = lines.map(({ by, text }) => `${by} ${text}`);
      for (const line of [
        'C STARTTLS',
        'C AUTH PLAIN (hidden)',
        'S 235 2.7.0 Authentication successful',
        `C MAIL FROM:<${FROM}>`,
        'C RCPT TO:<ann@example.com>',
      ]) {
        assert.ok(said.includes(line), `${line} in ${said.join('\n')}`);
      }
      assert.ok(said.some(line => /^S 250 2\.0\.0 Ok: queued as /.test(line)));
      assert.ok(!said.some(line => /^S 535/.test(line)), 'that session is not of the key');
      await keepTrace(first.db, trace);
    }
    const text = JSON.stringify(all);
    for (const secret of ['secret', first.owner.apiKey, 'os_live_wrong']) assert.ok(!text.includes(secret));
    await endTrace(first.db, trace.id);
    assert.equal((await first.db.query('select from smtp_relay_trace_lines')).rowCount, 0);
  });

  it('are shown by the command, by address and recipient too', async t => {
    const relay = await startRelay(t, { queue: false });
    const cli = cliFor(relay.databaseUrl);
    const looking = [
      cli.text('trace', '--client', '127.0.0.0/8', '--for', '8s'),
      cli.text('trace', '--recipient', 'Ann@Bücher.example', '--for', '8s', '--json'),
      cli.text('trace', '--client', '192.0.2.1', '--for', '8s'),
    ];
    let isOver = false;
    const over = Promise.all(looking).finally(() => {
      isOver = true;
    });
    while (!isOver) {
      const client = await SmtpClient.loggedIn(t, relay);
      await client.command(`MAIL FROM:<${FROM}>`, '250 ');
      await client.command('RCPT TO:<bob@example.com>', '250 ');
      await client.command('RSET', '250 ');
      await client.command(`MAIL FROM:<${FROM}>`, '250 ');
      await client.command('RCPT TO:<ann@xn--bcher-kva.example>', '250 ');
      client.destroy();
    }
    const [byAddress = '', byRecipient = '', ofNobody] = await over;
    assert.match(
      byAddress,
      /^\d\d:\d\d:\d\d\.\d{3} {2}\S+ {2}[0-9a-f]{16} {2}127\.0\.0\.1 {2}C {2}EHLO client\.test$/m,
    );
    const lines = byRecipient
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as TraceLine);
    assert.ok(lines.some(({ text }) => text === 'RCPT TO:<ann@xn--bcher-kva.example>'));
    assert.equal(ofNobody, '');
    assert.equal((await relay.db.query('select from smtp_relay_traces')).rowCount, 0);
    for (const args of [[], ['--client', 'here'], ['--recipient', 'nobody'], ['--client', '::1', '--for', '2d']]) {
      assert.equal((await cli.run('trace', ...args)).code, 2, args.join(' '));
    }
    assert.equal((await cli.run('trace', '--key', 'unknown')).code, 1);
  });

  it('are written for nobody who has gone', async t => {
    const relay = await startRelay(t, { queue: false });
    const trace = { ...NOBODY, id: randomUUID(), client: '127.0.0.1' };
    await keepTrace(relay.db, trace);
    assert.equal((await findTraces(relay.db)).length, 1);
    await relay.db.query("update smtp_relay_traces set until = now() - interval '2 minutes'");
    assert.deepEqual(await findTraces(relay.db), []);
    await deleteOldTraces(relay.db);
    assert.equal((await relay.db.query('select from smtp_relay_traces')).rowCount, 0);
  });
});

it('a session is shown from what was said before it was known whose it is, and not more than can be written', async () => {
  const written: TraceLine[] = [];
  const onlookers = new Onlookers({
    find: async () => [{ ...NOBODY, id: 'a', keyId: 'key' }],
    write: async lines => void written.push(...lines),
    pod: 'pod',
    logger: createLogger({ level: 'silent', format: 'json' }),
  });
  assert.equal(onlookers.isAny, false);
  await onlookers.look();
  assert.equal(onlookers.isAny, true);
  const lines: SessionLine[] = [];
  const session = { id: 's', clientAddress: '192.0.2.1', keyId: null as string | null, began: 0, lines };
  const say = (text: string) => {
    const line: SessionLine = [lines.length, 'C', text];
    lines.push(line);
    onlookers.said(session satisfies WatchedTranscript, line);
  };
  say('EHLO');
  say('AUTH');
  session.keyId = 'key';
  say('MAIL');
  for (let nth = 0; nth < 2_000; nth += 1) say('NOOP');
  await onlookers.stop();
  assert.deepEqual(
    written.slice(0, 4).map(({ text }) => text),
    ['EHLO', 'AUTH', 'MAIL', 'NOOP'],
  );
  assert.equal(written.length, 1_001);
  assert.equal(written.at(-1)?.text, '1003 lines of this pod left out');
});

it('a recipient is found however a client writes it', async () => {
  const found: string[] = [];
  const onlookers = new Onlookers({
    find: async () => [{ ...NOBODY, id: 'a', recipient: 'ann@xn--bcher-kva.example' }],
    write: async lines => void found.push(...lines.map(({ session }) => session)),
    pod: 'pod',
    logger: createLogger({ level: 'silent', format: 'json' }),
  });
  await onlookers.look();
  const say = (by: 'C' | 'S', text: string) => {
    const line: SessionLine = [0, by, text];
    onlookers.said({ id: text, clientAddress: '192.0.2.1', keyId: null, began: 0, lines: [line] }, line);
  };
  const hers = [
    'RCPT TO:<ann@xn--bcher-kva.example>',
    'rcpt to: <Ann@B\u00fccher.example> NOTIFY=NEVER',
    'RCPT TO:<"ann"@xn--bcher-kva.example> ORCPT=rfc822;<x>',
    'RCPT TO:<@relay.example:ann@xn--bcher-kva.example>',
  ];
  for (const text of hers) say('C', text);
  for (const text of ['RCPT TO:<joann@xn--bcher-kva.example>', 'MAIL FROM:<ann@xn--bcher-kva.example>', 'RCPT TO:<>'])
    say('C', text);
  say('S', '550 <ann@xn--bcher-kva.example>');
  await onlookers.stop();
  assert.deepEqual(found, hers);
});
