import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { env, execPath } from 'node:process';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { needs } from './support/needs.ts';
import { startRelay, type TestRelay } from './support/relay.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const HOST = 'smtp.yourdomain.com';
const PORT = '2587';
const KEY = 'os_live_xxxxxxxxxxxx';

const SENT = {
  from: 'hello@yourdomain.com',
  to: ['recipient@example.com'],
  cc: null,
  bcc: null,
  subject: 'Hello from OpenSend',
  status: 'queued',
};

interface Program {
  readonly command: string;
  /** They make the interpreter read the program from its standard input. */
  readonly args: readonly string[];
  readonly file: string;
}

const NODEMAILER: Program = { command: execPath, args: ['--input-type=module', '-'], file: 'examples/nodemailer.mjs' };
const SMTPLIB: Program = { command: 'python3', args: ['-'], file: 'examples/smtplib.py' };

/** The example as it stands, but for the address of the relay and the key. */
async function programText(file: string, relay: TestRelay): Promise<string> {
  let text = await readFile(`${ROOT}${file}`, 'utf8');
  for (const [placeholder, value] of [
    [HOST, relay.host],
    [PORT, String(relay.port)],
    [KEY, relay.owner.apiKey],
  ] as const) {
    assert.equal(text.split(placeholder).length, 2, `${placeholder} stands once in ${file}`);
    text = text.replace(placeholder, value);
  }
  return text;
}

/** Runs an example against the relay, which it trusts by its authority's file. @returns what it has written */
async function runExample({ command, args, file }: Program, relay: TestRelay, trusts: boolean) {
  const caPath = relay.certificate?.caPath ?? '';
  const trust = trusts ? { NODE_EXTRA_CA_CERTS: caPath, SSL_CERT_FILE: caPath } : {};
  const child = spawn(command, args, { cwd: ROOT, env: { ...env, ...trust }, timeout: 120_000 });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  child.stdin.end(await programText(file, relay));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

async function startYourRelay(t: TestContext): Promise<TestRelay> {
  return startRelay(t, { owner: { domain: 'yourdomain.com' } });
}

async function storedRows(relay: TestRelay) {
  const { rows } = await relay.db.query(
    'select id, "from", "to", cc, bcc, subject, text, html, attachments, status from emails',
  );
  return rows;
}

async function assertStored(relay: TestRelay, bodies: { readonly text: string; readonly html: string | null }) {
  const [row, ...others] = await storedRows(relay);
  const { id, ...columns } = row;
  assert.deepEqual(others, []);
  assert.deepEqual(columns, { ...SENT, ...bodies, attachments: null });
  await relay.stop();
  const jobs = (await relay.queue?.receiveAll()) ?? [];
  assert.deepEqual(
    jobs.map(job => JSON.parse(job.Body ?? '').emailId),
    [id],
  );
}

test('the Nodemailer example sends its message', async t => {
  const relay = await startYourRelay(t);
  const { code, output } = await runExample(NODEMAILER, relay, true);
  assert.equal(code, 0, output);
  await assertStored(relay, { text: 'Sent via SMTP relay', html: '<p>Sent via SMTP relay</p>' });
});

test('the Nodemailer example does not give its key to a relay that it does not trust', async t => {
  const relay = await startYourRelay(t);
  const { code, output } = await runExample(NODEMAILER, relay, false);
  assert.equal(code, 1);
  assert.match(output, /certificate/);
  assert.deepEqual(await storedRows(relay), []);
});

test('the smtplib example sends its message', { skip: needs('python3') }, async t => {
  const relay = await startYourRelay(t);
  const { code, output } = await runExample(SMTPLIB, relay, true);
  assert.equal(code, 0, output);
  await assertStored(relay, { text: 'Sent via SMTP relay\n', html: null });
});

test('README.md shows the examples as they stand', async () => {
  const readme = await readFile(`${ROOT}README.md`, 'utf8');
  for (const { file } of [NODEMAILER, SMTPLIB]) {
    const text = await readFile(`${ROOT}${file}`, 'utf8');
    assert.ok(readme.includes(`\n${text}\`\`\`\n`), `${file} stands in README.md`);
  }
});
