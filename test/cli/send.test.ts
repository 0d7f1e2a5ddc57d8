import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { startRelay, type TestContext, type TestRelay } from '../support/relay.ts';
import { startWorker } from '../support/worker.ts';
import { runInProcess } from './run-cli.ts';

type Env = Record<string, string>;

/** A relay, and the arguments and variables with which a message is sent through it. */
async function start(t: TestContext, options: Parameters<typeof startRelay>[1] = {}) {
  const relay = await startRelay(t, { queue: false, owner: { domain: 'acme.test' }, ...options });
  const args = ['send', '--from', 'hello@acme.test', '--host', relay.host, '--port', String(relay.port)];
  if (relay.certificate) args.push('--ca', relay.certificate.caPath);
  const send = (more: readonly string[], env: Env = { OPENSEND_API_KEY: relay.owner.apiKey }, stdin = '') =>
    runInProcess([...args, ...more], env, stdin);
  return { relay, args, send };
}

async function stored({ db }: TestRelay) {
  return (await db.query('select id, "to", subject, text, attachments from emails order by created_at')).rows;
}

async function temporaryFile(t: TestContext, name: string, content: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'smtp-relay-send-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, name);
  await writeFile(file, content);
  return file;
}

describe('smtp-relay send', { concurrency: 2 }, () => {
  it('sends a message, shows the session without the key, and names the id', async t => {
    const { relay, send } = await start(t);
    const { apiKey } = relay.owner;
    const file = await temporaryFile(t, 'invoice.txt', 'one hundred');
    const { code, stdout, stderr } = await send(['--to', 'a@example.com', 'b@example.com', '--attach', file]);
    assert.equal(code, 0, stderr);
    const [row, ...others] = await stored(relay);
    assert.deepEqual([row.to, row.subject, others], [['a@example.com', 'b@example.com'], 'A test of the relay', []]);
    assert.equal(row.attachments[0].filename, 'invoice.txt');
    const lines = stdout.split('\n');
    for (const line of [
      'C: STARTTLS',
      '   Connection upgraded with STARTTLS',
      'C: AUTH PLAIN ***',
      'C: MAIL FROM:<hello@acme.test>',
      'C: RCPT TO:<b@example.com>',
      `S: 250 2.0.0 Ok: queued as ${row.id}`,
      `Id: ${row.id}`,
    ]) {
      assert.ok(
        lines.some(found => found.startsWith(line)),
        `${line} in ${stdout}`,
      );
    }
    assert.equal(stderr, `What becomes of it: smtp-relay emails show ${row.id}\n`);
    for (const secret of [
      apiKey,
      Buffer.from(apiKey).toString('base64'),
      Buffer.from(`\0apikey\0${apiKey}`).toString('base64'),
    ])
      assert.ok(!stdout.includes(secret), stdout);
  });

  it('takes the key from standard input or a file, and sends without one where that is asked for', async t => {
    const { relay, send } = await start(t);
    const file = await temporaryFile(t, 'key', `${relay.owner.apiKey}\n`);
    assert.equal((await send(['--to', 'a@example.com', '--key', '-'], {}, `${relay.owner.apiKey}\n`)).code, 0);
    assert.equal((await send(['--to', 'a@example.com', '--key-file', file], {})).code, 0);
    assert.equal((await stored(relay)).length, 2);
    const without = await send(['--to', 'a@example.com'], {});
    assert.equal(without.code, 2);
    assert.match(without.stderr, /OPENSEND_API_KEY.*--key-file.*smtp-relay keys create/);
    const missing = await send(['--to', 'a@example.com', '--key-file', `${file}-not`], {});
    assert.equal(missing.stderr, `smtp-relay: ${file}-not: there is no such file or folder: mend the path\n`);
    const anonymous = await send(['--to', 'a@example.com', '--no-key'], {});
    assert.equal(anonymous.code, 1);
    assert.match(anonymous.stderr, /^smtp-relay: .*530 5\.7\.0.*--no-key/);
    assert.doesNotMatch(anonymous.stdout, /AUTH PLAIN \*/);
  });

  it('tells what became of it', async t => {
    const { relay, send } = await start(t, { settings: { pipeline: 'standalone' } });
    const env = {
      OPENSEND_API_KEY: relay.owner.apiKey,
      DATABASE_URL: relay.databaseUrl,
      SMTP_RELAY_PIPELINE: 'standalone',
    };
    const waiting = await send(['--to', 'a@example.com', '--wait', '1s'], env);
    assert.equal(waiting.code, 1);
    assert.match(waiting.stderr, /still queued: .*smtp-relay doctor --role worker/);

    await startWorker(t, { databaseUrl: relay.databaseUrl });
    const { code, stdout, stderr } = await send(['--to', 'b@example.com', '--wait', '120s', '--json'], env);
    assert.equal(code, 0, stderr);
    const answer = JSON.parse(stdout);
    assert.deepEqual([answer.email.id, answer.email.status], [answer.id, 'sent']);
    assert.equal(answer.transcript.at(-1).side, 'note');
    assert.doesNotMatch(stdout, new RegExp(relay.owner.apiKey));
    const noDatabase = await send(['--to', 'a@example.com', '--wait']);
    assert.equal(noDatabase.code, 2);
    assert.match(noDatabase.stderr, /DATABASE_URL/);
  });

  it('says of each failure what to do next', async t => {
    const { relay, args, send } = await start(t);
    const env = { OPENSEND_API_KEY: relay.owner.apiKey };
    const to = ['--to', 'a@example.com'];
    const withoutCa = args.slice(0, -2);
    const cases: readonly (readonly [what: string, result: ReturnType<typeof send>, stderr: RegExp])[] = [
      ['a wrong key', send(to, { OPENSEND_API_KEY: 'os_live_wrong' }), /535 5\.7\.8.*smtp-relay keys list/],
      ['another domain', send([...to, '--from', 'hello@other.test']), /550 5\.7\.1.*docs\/replies\.md/],
      ['an unknown authority', runInProcess([...withoutCa, ...to], env), /certificate.*--ca/],
      ['nobody there', runInProcess([...withoutCa, ...to, '--port', '1'], env), /nobody listens at 127\.0\.0\.1:1/],
      ['TLS from the first byte', send([...to, '--security', 'tls']), /--security starttls, tls or none/],
      ['clear text', send([...to, '--security', 'none']), /--security/],
    ];
    for (const [what, result, text] of cases) {
      const { code, stderr } = await result;
      assert.equal(code, 1, what);
      assert.match(stderr, text, what);
    }
    const mistaken = await runInProcess([...withoutCa, ...to, '--insecure'], env);
    assert.equal(mistaken.code, 0, mistaken.stderr);
    const plain = await start(t, { tls: false });
    const noTls = await plain.send(to);
    assert.equal(noTls.code, 1);
    assert.match(noTls.stderr, /no certificate.*--security none/);
    assert.equal((await plain.send([...to, '--security', 'none'])).code, 0);
  });
});
