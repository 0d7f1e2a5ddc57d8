import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env as processEnv } from 'node:process';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import type pg from 'pg';
import { createKey } from '../../src/store/keys/api-keys.ts';
import { addDomain } from '../../src/store/owners/domains.ts';
import { addSuppression } from '../../src/store/owners/suppressions.ts';
import { type KeptSession, writeSessions } from '../../src/store/sessions/sessions.ts';
import { runInProcess } from '../cli/run-cli.ts';
import { createDatabase } from '../support/database.ts';
import { seedOwner } from '../support/owner.ts';
import { openPool } from '../support/pool.ts';
import { startRelay } from '../support/relay.ts';
import { sesEnv, startFakeSes } from '../support/ses/start.ts';
import { storeMessage } from '../support/stored.ts';
import { startWorker } from '../support/worker.ts';
import type { Command } from './commands.ts';
import { ROOT } from './documents.ts';
import { commandsFor } from './who-runs.ts';

const shell = promisify(execFile);

/** They run until they are told to stop: `test/smtp/trace.test.ts`, `test/faults/process.test.ts`, `test/delivery/faults/` and `test/dev/` start them. */
const RUN_ON = new Set(['relay', 'worker', 'dev', 'demo-postgres', 'trace']);
/** What they find is their answer: no records in the DNS, a difference, an endpoint that is not there. */
const MAY_END_WITH_1 = /^(?:doctor|domains check|webhooks test|resources (?:diff|list|status|validate))/;

/** A standalone installation that has what the documents speak of. */
class Installation {
  readonly env: Record<string, string>;
  readonly folder: string;
  readonly ids: Readonly<Record<string, string>>;
  /** Files that documents name, by those that stand for them here. */
  readonly files: Readonly<Record<string, string>>;

  constructor({ env, folder, ids, files }: Pick<Installation, 'env' | 'folder' | 'ids' | 'files'>) {
    this.env = env;
    this.folder = folder;
    this.ids = ids;
    this.files = files;
  }

  /** With the names of files and ids that a reader would put in. */
  argumentsOf({ words }: Command): string[] {
    const [, ...args] = words;
    const room = args[0] ?? '';
    return args.map(word => {
      if (word === '<id>' || word === '"$id"' || word === '$id') return this.ids[room] ?? word;
      if (word === '5ce7200a-ad56-46bf-acb8-629e819448e5') return this.ids['emails'] as string;
      if (word === '$OLD_PASSWORD') return 'a-password-of-old';
      if (this.files[word] !== undefined) return this.files[word];
      return /^[\w/-]+\.csv$|^deploy\//.test(word) ? join(this.folder, word) : word;
    });
  }
}

const CSV = 'email,reason\nsomeone@example.com,bounced\n';
const DOCUMENT = `apiVersion: relay.opensend.dev/v1alpha1
kind: SendingDomain
metadata: {name: acme}
spec: {owner: acme, name: acme.com}
`;

interface TestContext {
  after(fn: () => Promise<void>): void;
}

/** A relay and a worker, where a document sends something. */
async function startProcesses(t: TestContext, databaseUrl: string, db: pg.Pool, folder: string) {
  const owner = await seedOwner(db, { userId: 'sender', domain: 'sender.test', keyDomain: null });
  const settings = { pipeline: 'standalone', senderDomains: 'any' };
  const relay = await startRelay(t, { shareWith: { databaseUrl, owner }, queue: false, settings });
  await startWorker(t, { databaseUrl });
  const keyFile = join(folder, 'api-key');
  await writeFile(keyFile, `${owner.apiKey}\n`);
  return {
    env: { OPENSEND_API_KEY: owner.apiKey, SMTP_RELAY_HOST: relay.host, SMTP_RELAY_PORT: String(relay.port) },
    files: { '.dev/api-key': keyFile, '.dev/tls/ca.crt': relay.certificate?.caPath ?? '' },
  };
}

/** As `docs/troubleshooting.md` shows one. */
function refusedSession(subject: string): KeptSession {
  const refused = { step: 'AUTH', rule: 'auth', reply: '535 5.7.8 Authentication failed', refusals: 1, lines: [] };
  const at = { beganAt: new Date(), lastAt: new Date() };
  return { id: '5d1c0a9be2f64e7d', subject, clientAddress: '192.0.2.7', pod: 'relay', ...at, ...refused };
}

async function install(t: TestContext, { sends }: { readonly sends: boolean }): Promise<Installation> {
  const databaseUrl = await createDatabase(t);
  const db = openPool(databaseUrl, 1);
  const ses = await startFakeSes(t);
  const folder = await mkdtemp(join(tmpdir(), 'smtp-relay-documents-'));
  t.after(async () => {
    await db.end();
    await rm(folder, { recursive: true, force: true });
  });
  for (const name of [
    'suppressions',
    'ses',
    'postmark',
    'mailgun-bounces',
    'bounces',
    'complaints',
    'unsubscribes',
    'spam_reports',
    'suppressed',
  ]) {
    await writeFile(join(folder, `${name}.csv`), CSV);
  }
  await mkdir(join(folder, 'deploy/relay'), { recursive: true });
  await writeFile(join(folder, 'deploy/relay/acme.yaml'), DOCUMENT);
  await createKey(db, { name: 'documents', owner: 'acme' });
  const { id: subject } = await createKey(db, { name: 'shop', owner: 'acme' });
  await writeSessions(db, [refusedSession(subject)]);
  await addDomain(db, { name: 'demo.test', owner: 'demo', region: 'us-east-1' });
  await addSuppression(db, { owner: 'demo', email: 'you@example.com', reason: 'bounced' });
  const email = await storeMessage(db, { userId: 'acme' });
  const { AWS_ENDPOINT_URL_SESV2: _, ...credentials } = sesEnv(ses);
  // The SDK reads its credentials there.
  Object.assign(processEnv, credentials);
  const env = {
    DATABASE_URL: databaseUrl,
    SMTP_RELAY_PIPELINE: 'standalone',
    SMTP_RELAY_RESOURCES_DIRECTORY: join(folder, 'deploy/relay'),
    SMTP_RELAY_WEBHOOKS_SECRET_KEYS: Buffer.alloc(32, 7).toString('base64'),
    SMTP_RELAY_WEBHOOKS_ALLOWED_NETWORKS: '127.0.0.0/8',
    ...sesEnv(ses),
  };
  const processes = sends ? await startProcesses(t, databaseUrl, db, folder) : { env: {}, files: {} };
  const made = await runInProcess(['webhooks', 'create', 'https://acme.test/hook', '--owner', 'acme', '--json'], env);
  assert.equal(made.code, 0, made.stderr);
  return new Installation({
    env: { ...env, ...processes.env },
    folder,
    ids: { emails: email, webhooks: JSON.parse(made.stdout).id },
    files: processes.files,
  });
}

const byDocument = Map.groupBy(commandsFor('test/docs/own-commands.test.ts'), ({ document }) => document);

it('are found, of each program', () => {
  const all = [...byDocument.values()].flat().map(({ words }) => words[0]);
  for (const program of ['smtp-relay', 'node', 'make', 'npm'])
    assert.ok(all.filter(word => word === program).length > 5, program);
});

for (const [name, commands] of byDocument) {
  const of = (program: string) => commands.filter(({ words }) => words[0] === program);

  describe(`commands of ${name}`, () => {
    let installation: Installation;
    const own = of('smtp-relay').filter(({ words }) => words.length > 1 && !RUN_ON.has(words[1] ?? ''));
    const parts = new AsyncDisposableStack();
    before(async () => {
      const sends = own.some(({ words, isBlock }) => isBlock && words[1] === 'send');
      if (own.length > 0) installation = await install({ after: fn => parts.defer(fn) }, { sends });
    });
    after(() => parts.disposeAsync());

    for (const command of own) {
      it(command.text, async () => {
        const args = installation.argumentsOf(command);
        // Those in running text name a command, and leave its arguments to the reader.
        const isWhole = command.isBlock && !args.some(argument => argument.includes('…') || argument === '...');
        const { code, stdout, stderr } = await runInProcess(
          isWhole ? args : [...nameOf(args), '--help'],
          installation.env,
        );
        const allowed = isWhole && MAY_END_WITH_1.test(args.join(' ')) ? [0, 1] : [0];
        assert.ok(allowed.includes(code), `${code}: ${stderr}${stdout}`);
        if (!isWhole)
          for (const flag of flagsOf(args)) assert.ok(stdout.includes(flag), `${flag} is not in its --help`);
      });
    }

    for (const { text, words } of of('node')) {
      it(text, async () => {
        const [, file = '', ...rest] = words;
        assert.ok(existsSync(join(ROOT, file)), file);
        const program = rest.find(word => word.startsWith('bench/'));
        if (program === undefined) return;
        // By the Node that a user has, which may be an older one.
        const { stdout } = await shell('node', [file, program, '--help'], { cwd: ROOT });
        for (const flag of flagsOf(rest)) assert.ok(stdout.includes(flag), `${flag} is not in its --help`);
      });
    }

    for (const { text, words } of of('biome')) {
      it(text, async () => {
        // Files are as it would write them, which `make check` holds.
        await shell(join(ROOT, 'node_modules/.bin/biome'), words.slice(1), { cwd: ROOT });
      });
    }

    for (const { text, words } of of('make')) {
      it(text, async () => {
        await shell('make', ['--dry-run', ...words.slice(1).filter(word => !word.startsWith('<'))], { cwd: ROOT });
      });
    }

    for (const { text, words } of of('npm')) {
      it(text, async () => {
        const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
        const script = words[1] === 'run' ? words[2] : words[1];
        assert.ok(script === 'ci' || scripts[script ?? ''], `no script ${script}`);
        for (const file of words.filter(word => word.endsWith('.test.ts')))
          assert.ok(existsSync(join(ROOT, file)), file);
      });
    }
  });
}

/** A command without its arguments: `keys create`. */
function nameOf(args: readonly string[]): string[] {
  const end = args.findIndex(argument => !/^[a-z]+(?:-[a-z]+)*$/.test(argument));
  return args.slice(0, Math.min(end === -1 ? args.length : end, 2));
}

function flagsOf(args: readonly string[]): string[] {
  return args
    .filter(argument => /^--[a-z]/.test(argument) && argument !== '--help')
    .map(argument => argument.split('=', 1)[0] as string);
}
