import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env, execPath } from 'node:process';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Page } from '../../src/inbox/contract.ts';
import { needs, PYTEST } from '../support/needs.ts';
import { startInbox } from './inbox.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PLAYWRIGHT = fileURLToPath(import.meta.resolve('@playwright/test/cli'));
const TOKEN = 'a-token-that-nobody-guesses';

/** Runs an example as its first lines say, against an inbox with a token. @returns what it has written */
async function runExample(t: TestContext, make: (folder: string) => readonly [command: string, ...args: string[]]) {
  const inbox = await startInbox(t, { owner: { domain: 'demo.test' }, settings: { 'inbox.token': TOKEN } });
  const folder = await mkdtemp(join(tmpdir(), 'smtp-relay-example-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const [command, ...args] = make(folder);
  const caPath = inbox.relay.certificate?.caPath ?? '';
  const variables = {
    INBOX_URL: inbox.url,
    INBOX_TOKEN: TOKEN,
    API_KEY: inbox.relay.owner.apiKey,
    SMTP_PORT: String(inbox.relay.port),
    SMTP_CA: caPath,
    NODE_EXTRA_CA_CERTS: caPath,
    // Of the test that runs this.
    NODE_TEST_CONTEXT: undefined,
    NODE_OPTIONS: undefined,
  };
  const child = spawn(command, args, { cwd: ROOT, env: { ...env, ...variables }, timeout: 240_000 });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(code, 0, output);
  const authorization = `Bearer ${TOKEN}`;
  const { messages } = await inbox.ask<Page>('/api/messages', { headers: { authorization } });
  return { output, messages };
}

describe('the examples of tests', () => {
  it('run by Playwright', async t => {
    const { output, messages } = await runExample(t, folder => [
      ...([execPath, PLAYWRIGHT, 'test', 'examples/inbox.spec.mjs'] as const),
      ...['--reporter=line', `--output=${folder}`, '--workers=1', '--timeout=120000'],
    ]);
    assert.match(output, /1 passed/);
    assert.equal(messages[0]?.status, 'bounced');
  });

  it('run by pytest', { skip: needs('pytest') }, async t => {
    const { output, messages } = await runExample(t, () => [
      PYTEST,
      '-p',
      'no:cacheprovider',
      'examples/pytest/test_inbox.py',
    ]);
    assert.match(output, /1 passed/);
    assert.equal(messages[0]?.status, 'bounced');
  });

  it('stand in the documentation as they are', async () => {
    const document = await readFile(join(ROOT, 'docs/testing-your-app.md'), 'utf8');
    for (const file of ['examples/inbox.spec.mjs', 'examples/pytest/test_inbox.py'])
      assert.ok(document.includes(`\n${await readFile(join(ROOT, file), 'utf8')}\`\`\`\n`), file);
  });
});
