import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { env, execPath } from 'node:process';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { Webhook } from 'standardwebhooks';
import { freePort } from '../../dev/ports.ts';
import { eventually } from '../support/eventually.ts';
import { needs } from '../support/needs.ts';
import { emailIdOf, SmtpClient } from '../support/smtp-client.ts';
import { type Receiver, startReceiver } from '../webhooks/receiver.ts';
import { type DevProcess, freePorts, startDev, stateDirectory } from './start-dev.ts';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** What `make dev` prints, as a person takes it from there. */
interface Dev {
  readonly process: DevProcess;
  readonly host: string;
  readonly port: number;
  readonly ca: string;
  readonly caFile: string;
  readonly apiKey: string;
  readonly db: pg.Client;
  /** Runs a command in the project's folder, in a shell that has read the file of variables. */
  shell(command: string): Promise<string>;
}

async function startWholeDev(t: TestContext): Promise<Dev> {
  const directory = await stateDirectory(t);
  const process = startDev(t, directory, await freePorts());
  await process.waitFor(/Ctrl-C stops everything/);
  const printed = (pattern: RegExp): string => pattern.exec(process.output())?.[1] ?? assert.fail(String(pattern));
  const db = new pg.Client({ connectionString: printed(/Postgres: (\S+)/) });
  db.on('error', () => {});
  await db.connect();
  t.after(() => db.end());
  const caFile = printed(/CA file +(\S+)/);
  const file = printed(/^ {2}\. (\S+)/m);
  const path = `${dirname(execPath)}:${String(env['PATH'])}`;
  return {
    process,
    db,
    caFile,
    host: printed(/Host +(\S+)/),
    port: Number(printed(/Port +(\d+)/)),
    ca: await readFile(caFile, 'utf8'),
    apiKey: printed(/Password +(\S+)/),
    shell: async command => {
      const options = { cwd: ROOT, env: { ...env, PATH: path }, timeout: 120_000 };
      return (await run('/bin/sh', ['-c', `. ${file} && ${command}`], options)).stdout;
    },
  };
}

/** Runs an example as it stands, but for what a reader has to put in. */
async function runExample(dev: Dev, command: string, args: readonly string[], file: string): Promise<void> {
  const text = (await readFile(join(ROOT, file), 'utf8'))
    .replace('smtp.yourdomain.com', dev.host)
    .replace('2587', String(dev.port))
    .replace('os_live_xxxxxxxxxxxx', dev.apiKey)
    .replace('yourdomain.com', 'demo.test');
  const trust = { NODE_EXTRA_CA_CERTS: dev.caFile, SSL_CERT_FILE: dev.caFile };
  const child = spawn(command, args, { cwd: ROOT, env: { ...env, ...trust }, timeout: 120_000, stdio: ['pipe', 1, 2] });
  child.stdin?.end(text);
  assert.deepEqual(await once(child, 'exit'), [0, null], file);
}

/** The bytes of a message in its `.eml`, found by the line that says where it is, below the `Received:` of our own. */
async function captured(dev: Dev, id: string): Promise<string> {
  const [, file = ''] = await dev.process.waitFor(new RegExp(`${id.slice(-8)} {2}sent +(\\S+\\.eml)`));
  const text = await readFile(file, 'latin1');
  const received = new RegExp(`^Received: [^\r]*(?:\r\n\t[^\r]*)*\\bid ${id}\\b[^\r]*(?:\r\n\t[^\r]*)*\r\n`);
  assert.match(text, received);
  return text.replace(received, '');
}

/** The newest message as it was received. */
async function received({ db }: Dev): Promise<{ id: string; raw: string }> {
  const { rows } = await db.query<{ email_id: string; raw: Buffer }>(
    'select email_id, raw from smtp_relay_messages order by created_at desc limit 1',
  );
  return { id: String(rows[0]?.email_id), raw: String(rows[0]?.raw.toString('latin1')) };
}

interface Hook {
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The event of this type about the message, once the receiver has it; it verifies what it got. */
function hook({ received }: Receiver, secret: string, type: string, id: string): Promise<Hook> {
  return eventually(() => {
    const hooks = received.map(
      ({ body, headers }) => new Webhook(secret).verify(body, headers as Record<string, string>) as Hook,
    );
    return hooks.find(found => found.type === type && found.data['email_id'] === id) ?? null;
  }) as Promise<Hook>;
}

/** The example of a receiver, which prints what it has verified. @returns all that it has printed */
async function startExampleReceiver(t: TestContext, secret: string, port: number): Promise<() => string> {
  const child = spawn(execPath, ['examples/webhook-receiver.mjs', secret, `${port}`], { cwd: ROOT });
  t.after(() => child.kill());
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
  }
  await eventually(() => text.includes('listening on'));
  return () => text;
}

async function logIn(t: TestContext, dev: Dev): Promise<SmtpClient> {
  const client = await SmtpClient.secured(t, dev);
  await client.logIn(dev.apiKey);
  return client;
}

/** A message to these, sent with exactly these bytes. @returns its id */
async function send(t: TestContext, dev: Dev, to: readonly string[], data: string): Promise<string> {
  const client = await logIn(t, dev);
  return emailIdOf(await client.transact({ from: 'hello@demo.test', to, data }, '250 '));
}

test('the whole way of a message, as a new user tries it', { skip: needs('python3') }, async t => {
  const dev = await startWholeDev(t);

  await t.test('the .eml of the Nodemailer example is the message that was sent', async () => {
    await runExample(dev, execPath, ['--input-type=module', '-'], 'examples/nodemailer.mjs');
    const { id, raw } = await received(dev);
    assert.equal(await captured(dev, id), raw);
  });

  await t.test('the .eml of the smtplib example has the missing Date and Message-ID besides', async () => {
    await runExample(dev, 'python3', ['-'], 'examples/smtplib.py');
    const { id, raw } = await received(dev);
    const sent = await captured(dev, id);
    const added = new RegExp(`\r\nDate: [^\r]+ \\+0000\r\nMessage-ID: <${id}@demo\\.test>(?=\r\n\r\n)`);
    assert.match(sent, added);
    assert.equal(sent.replace(added, ''), raw);
  });

  await t.test('what only the relay is to read is taken out, and nothing else changes', async () => {
    const kept =
      'Date: Fri, 02 Jan 2026 03:04:05 +0000\r\nMessage-ID: <1@demo.test>\r\n' +
      'From:  hello@demo.test\r\nTo: a@example.com\r\nX-Odd:\tone\r\n  two\r\nSubject: =?utf-8?q?H=C3=A9?=\r\n';
    const removed =
      'Bcc: b@example.com\r\nX-OpenSend-Tag: kind=news\r\nResend-Idempotency-Key: 1\r\nX-SES-Source-ARN: arn:x\r\n';
    const body = '\r\nHi \r\n.\r\n  end\t\r\n';
    const stuffed = body.replace('\r\n.\r\n', '\r\n..\r\n').slice(0, -2);
    const id = await send(t, dev, ['a@example.com', 'b@example.com'], `${removed}${kept}${stuffed}`);
    assert.equal(await captured(dev, id), `${kept}${body}`);
  });

  const receiver = await startReceiver(t);
  const webhook = await dev.shell(`node bin/smtp-relay.js webhooks create ${receiver.url} --owner demo --json`);
  const { secret } = JSON.parse(webhook) as { secret: string };
  const port = await freePort();
  const other = await dev.shell(`node bin/smtp-relay.js webhooks create http://localhost:${port}/ --owner demo --json`);
  const printed = await startExampleReceiver(t, (JSON.parse(other) as { secret: string }).secret, port);

  await t.test('a click and an open come back as events, and as webhooks that the receiver verifies', async () => {
    const header =
      'From: hello@demo.test\r\nTo: you@example.com\r\nSubject: Links\r\nContent-Type: text/html\r\n' +
      'X-OpenSend-Track-Opens: yes\r\nX-OpenSend-Track-Clicks: yes\r\n';
    const link = 'https://shop.example/offers?a=1';
    const id = await send(t, dev, ['you@example.com'], `${header}\r\n<p><a href="${link}">Offers</a></p>`);
    const html = await captured(dev, id);
    const [, click = ''] = /href="([^"]+)"/.exec(html) ?? [];
    const [, pixel = ''] = /<img src="([^"]+)"/.exec(html) ?? [];
    const clicked = await fetch(click, { redirect: 'manual' });
    assert.deepEqual([clicked.status, clicked.headers.get('location')], [302, link]);
    assert.equal((await fetch(pixel)).headers.get('content-type'), 'image/gif');
    await dev.process.waitFor(new RegExp(`${id.slice(-8)} {2}clicked +you@example\\.com +https://shop\\.example`));
    await dev.process.waitFor(new RegExp(`${id.slice(-8)} {2}opened +you@example\\.com`));
    const { data } = await hook(receiver, secret, 'email.clicked', id);
    assert.equal((data['click'] as { link: string }).link, link);
    await hook(receiver, secret, 'email.opened', id);
    await dev.process.waitFor(new RegExp(`${id.slice(-8)} {2}webhook +email\\.opened -> ${receiver.url} +200`));
  });

  await t.test('a bounce suppresses the recipient, and the next message is refused', async () => {
    const data = 'From: hello@demo.test\r\nTo: gone@example.com\r\nSubject: Hi\r\n\r\nHi';
    const id = await send(t, dev, ['gone@example.com'], data);
    await captured(dev, id);
    await dev.shell(`node examples/ses-notification.mjs bounce ${id} gone@example.com`);
    await dev.process.waitFor(new RegExp(`${id.slice(-8)} {2}bounced +gone@example\\.com +Permanent`));
    assert.deepEqual((await hook(receiver, secret, 'email.bounced', id)).data['recipients'], ['gone@example.com']);
    await eventually(() => printed().includes('email.bounced {'));
    const client = await logIn(t, dev);
    await client.transact({ from: 'hello@demo.test', to: ['gone@example.com'], data }, '550 5.7.1 ');
  });
});
