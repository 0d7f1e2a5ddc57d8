import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { text } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { CHILD_ENVIRONMENT } from '../support/environment.ts';
import { needs } from '../support/needs.ts';
import { cliFor, MAIN } from './run-cli.ts';

const ESCAPE = '\u001b';
const CLEAR = `\r${ESCAPE}[K`;

/** Runs a program at a terminal of its own, and answers the first question. What it prints goes to standard output. */
const PTY = `
import os, pty, sys
answer = os.environb[b'PTY_ANSWER']
def read(fd):
    global answer
    data = os.read(fd, 4096)
    if b'[y/N]' in data and answer:
        os.write(fd, answer)
        answer = b''
    return data
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:], read)))
`;

async function atTerminal(args: readonly string[], env: Readonly<Record<string, string>>, answer = '') {
  const child = spawn('python3', ['-c', PTY, execPath, MAIN, ...args], {
    env: { ...CHILD_ENVIRONMENT, TERM: 'xterm', ...env, PTY_ANSWER: answer },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 120_000,
  });
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  return { code, output };
}

async function start(t: TestContext) {
  const databaseUrl = await createDatabase(t);
  const cli = cliFor(databaseUrl);
  const env = { DATABASE_URL: databaseUrl, SMTP_RELAY_DATABASE_CONNECT_TIMEOUT: '60s' };
  return { cli, env };
}

describe('a command at a terminal', { skip: needs('python3'), concurrency: 2 }, () => {
  it('asks before it removes something, and does nothing without a yes', async t => {
    const { cli, env } = await start(t);
    await cli.json('domains', 'add', 'acme.test', '--owner', 'acme');
    const remove = ['domains', 'remove', 'acme.test'];
    const names = async () => (await cli.json('domains', 'list')).map(({ name }: { name: string }) => name);
    for (const answer of ['n\n', '\n', '\u0003', '\u0004']) {
      const { code, output } = await atTerminal(remove, env, answer);
      assert.equal(code, 1, JSON.stringify(answer));
      assert.match(output, /Take the domain acme\.test from its owner\? \[y\/N\]/);
      assert.match(output, /nothing was changed; --yes does not ask/);
      assert.deepEqual(await names(), ['acme.test'], JSON.stringify(answer));
    }
    assert.equal((await atTerminal(remove, env, 'y\n')).code, 0);
    assert.deepEqual(await names(), []);
    await cli.json('domains', 'add', 'acme.test', '--owner', 'acme');
    const { code, output } = await atTerminal([...remove, '--yes'], env);
    assert.deepEqual([code, /\[y\/N\]/.test(output)], [0, false]);
  });

  it('shows how far long work is, and takes that away at its end', async t => {
    const { env } = await start(t);
    const folder = await mkdtemp(join(tmpdir(), 'smtp-relay-progress-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const file = join(folder, 'list.csv');
    await writeFile(file, Array.from({ length: 5_000 }, (_, index) => `a${index}@example.com\n`).join(''));
    const { code, output } = await atTerminal(['suppressions', 'import', file, '--owner', 'acme'], env);
    assert.equal(code, 0, output);
    // What is shown is written over, and taken away before the answer.
    const lines = output.split(CLEAR);
    assert.match(lines[1] ?? '', /^line \d+: \d+ added$/, output);
    assert.match(lines.at(-1) ?? '', /^5000 added, 0 there already, 0 bad/);
  });

  it('colours what it says, and not where NO_COLOR asks for none', async () => {
    const env = { DATABASE_URL: 'postgres://relay@127.0.0.1:1/relay' };
    const doctor = ['doctor', '--only', 'database'];
    assert.ok((await atTerminal(doctor, env)).output.includes(`${ESCAPE}[31mfailed`));
    const plain = await atTerminal(doctor, { ...env, NO_COLOR: '1' });
    assert.match(plain.output, /failed {3}database/);
    assert.ok(!plain.output.includes(ESCAPE), plain.output);
  });
});

describe('a command without a terminal', () => {
  it('asks nothing, since whoever wrote the script has thought of it, and tells of no progress', async t => {
    const { cli } = await start(t);
    await cli.json('domains', 'add', 'acme.test', '--owner', 'acme');
    const { code, stderr } = await cli.run('domains', 'remove', 'acme.test');
    assert.deepEqual([code, stderr], [0, 'Running relays notice within 10 seconds.\n']);
  });
});
