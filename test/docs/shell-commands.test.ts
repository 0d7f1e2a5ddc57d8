import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { freePort } from '../../dev/ports.ts';
import { createLogger } from '../../src/observability/log.ts';
import { startInbox, type TestInbox } from '../inbox/inbox.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { AWS_FOLDER, needs } from '../support/needs.ts';
import { withClient } from '../support/postgres-server.ts';
import { sesEnv, startFakeSes } from '../support/ses/start.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { ROOT, readDocuments } from './documents.ts';
import { POSTMARK_TOKEN, type Services, startServices } from './services.ts';
import { paste, programs } from './shell.ts';
import { linesFor } from './who-runs.ts';

/*
 * Lines that programs of others have a part in, pasted into bash as they stand, beside a relay and a worker. `localhost` and
 * the hosts of services lead to what this test has started.
 */

const NEEDED = ['aws', 'curl', 'go', 'jq', 'openssl'] as const;
/** An `export` of a plain value runs nothing. */
const lines = linesFor('test/docs/shell-commands.test.ts').filter(({ line }) => !/^export [^$]*$/.test(line));
const byDocument = Map.groupBy(lines, ({ document }) => document);
const ID_OF_THE_DOCUMENTS = '5ce7200a-ad56-46bf-acb8-629e819448e5';
/** Where Go keeps what it has. */
const GO = JSON.parse(
  spawnSync('go', ['env', '-json', 'GOMODCACHE', 'GOCACHE', 'GOPROXY', 'GOSUMDB']).stdout?.toString() || '{}',
);
/** A module of the project's, small, for lines about Go. */
const GO_MODULE = join(ROOT, 'tools/chart/go/kube-score');
const [, GO_VERSION = ''] =
  /(github\.com\/zegl\/kube-score v\S+)/.exec(await readFile(join(GO_MODULE, 'go.mod'), 'utf8')) ?? [];
/** A line that writes a file, and the file. */
const WRITES = [{ line: /> ([\w.-]+)$/ }, { line: /^go (?:get|mod)/, file: 'go.mod' }] as readonly {
  line: RegExp;
  file?: string;
}[];

function fileWrittenBy(text: string): string | undefined {
  for (const { line, file } of WRITES) {
    const match = line.exec(text);
    if (match) return file ?? match[1];
  }
  return undefined;
}

const parts = new AsyncDisposableStack();
let inbox: TestInbox;
let services: Services;
let shellEnv: Record<string, string>;
/** Of two messages that were sent; the log of the worker knows of the first one only. */
let emailIds: readonly [string, string];
let logs: { readonly relay: string; readonly worker: string };

async function start(t: TestContext): Promise<void> {
  const settings = { httpPort: await freePort() };
  inbox = await startInbox(t, { owner: { userId: 'acme', keyDomain: 'acme.test' }, settings });
  services = await startServices(t);
  const ses = await startFakeSes(t);
  ses.account.suppressed.push({ email: 'ses@example.com', reason: 'BOUNCE', at: new Date() });
  shellEnv = {
    DATABASE_URL: inbox.relay.databaseUrl,
    SMTP_RELAY_PIPELINE: 'standalone',
    ...sesEnv(ses),
    // The name that version 1 of the command line knows.
    AWS_DEFAULT_REGION: 'us-east-1',
    AWS_ENDPOINT_URL_EKS: services.eksEndpoint,
    TOKEN: POSTMARK_TOKEN,
    ...GO,
    CURL_HOME: await mkdtemp(join(tmpdir(), 'smtp-relay-curl-')),
  };
  const { httpPort, inboxPort } = inbox.worker;
  const leads = [`localhost:8080:127.0.0.1:${httpPort}`, `localhost:8025:127.0.0.1:${inboxPort}`];
  leads.push(`api.postmarkapp.com:443:127.0.0.1:${services.postmarkPort}`);
  const curlrc = ['fail', 'insecure', ...leads.map(lead => `connect-to = "${lead}"`)].join('\n');
  await writeFile(join(shellEnv['CURL_HOME'] as string, '.curlrc'), curlrc);
}

/** What documents speak of: messages that went out, refusals, a fault, and a database that knows less than the logs. */
async function happen(t: TestContext): Promise<void> {
  const { relay, worker } = inbox;
  const send = () => inbox.send({ data: messageFrom('shop@acme.test'), to: ['you@example.com'] });
  emailIds = [await send(), await send()];
  const client = await SmtpClient.loggedIn(t, relay);
  await client.transact({ from: 'x@other.test', to: ['b@example.com'], data: messageFrom('x@other.test') }, '550 ');
  const stranger = await SmtpClient.secured(t, relay);
  await stranger.command(`AUTH PLAIN ${Buffer.from('\0apikey\0os_live_none').toString('base64')}`, '535 ');
  await eventually(async () => worker.logs.filter(({ msg }) => msg === 'message sent').length === 2);
  await withClient(relay.databaseUrl, db => db.query(`update emails set status = 'queued', sent_at = null`));
  const fault: string[] = [];
  createLogger({ level: 'error', format: 'json', destination: { write: line => void fault.push(line) } }).error(
    { room: 'smtp', err: new Error('a fault') },
    'connection failed',
  );
  const text = (entries: readonly object[]) => entries.map(entry => `${JSON.stringify(entry)}\n`).join('');
  logs = {
    relay: text(relay.logs) + fault.join(''),
    worker: text(worker.logs.filter(({ emailId }) => emailId === undefined || emailId === emailIds[0])),
  };
}

/** What a reader puts in the place of what the documents have. */
function filledIn(line: string): string {
  const { relay } = inbox;
  return line
    .replaceAll(ID_OF_THE_DOCUMENTS, emailIds[0])
    .replaceAll('host:2587', `${relay.host}:${relay.port}`)
    .replaceAll('<the file of tls.certPath>', relay.certificate?.certPath ?? '')
    .replaceAll('<module>@<version>', GO_VERSION.replace(' ', '@'));
}

/** What a line has to have brought, where it is more than anything at all. */
const BRINGS: readonly { readonly line: RegExp; check(text: string): void }[] = [
  { line: /healthz \| jq \.configuration/, check: text => assert.equal(JSON.parse(text).lastError, null) },
  {
    line: /list-suppressed-destinations/,
    check: text => assert.match(text, /^"EmailAddress".*\n"ses@example\.com","BOUNCE"/),
  },
  { line: /postmarkapp/, check: text => assert.match(text, /\n"postmark@example\.com","HardBounce","2026/) },
  { line: /api\/messages\?to=/, check: text => assert.equal(JSON.parse(text).messages.length, 2) },
  { line: /jq -r \.key/, check: text => assert.match(text, /^os_live_\w+\n$/) },
  { line: /> sent$/, check: text => assert.equal(text, `${emailIds[0]}\n`) },
  { line: /> (?:queued|accepted)$/, check: text => assert.equal(text.split('\n').length, 3) },
  { line: /^comm /, check: text => assert.match(text, new RegExp(emailIds[0])) },
  { line: /^join /, check: text => assert.match(text, new RegExp(`^${emailIds[1]}\tacme\t`)) },
  { line: /\.level >= 50/, check: text => assert.match(text, /^\{"time":"\S+","room":"smtp",.*"a fault"\}\n$/) },
  {
    line: /\{time, client, step/,
    check: text => assert.match(text, /"step":"AUTH","code":535,"enhancedCode":"5\.7\.8","rule":"auth"/),
  },
  { line: /uniq -c/, check: text => assert.match(text, /^ +\d 127\.0\.0\.1\n$/) },
  { line: /^go /, check: text => assert.match(text, /kube-score/) },
  { line: /-dates/, check: text => assert.match(text, /notAfter=/) },
  { line: /s_client[^|]*$/, check: text => assert.match(text, /BEGIN CERTIFICATE/) },
];

describe('lines of the documents, pasted', { skip: needs(...NEEDED), concurrency: 1 }, () => {
  before(async () => {
    const t = { after: (fn: () => Promise<void>) => parts.defer(fn) } as unknown as TestContext;
    await start(t);
    await happen(t);
  });
  after(() => parts.disposeAsync());

  for (const [name, found] of byDocument) {
    describe(name, () => {
      let folder: string;
      let path: string;
      before(async () => {
        folder = await mkdtemp(join(tmpdir(), 'smtp-relay-pasted-'));
        parts.defer(() => rm(folder, { recursive: true, force: true }));
        path = await programs(folder, [AWS_FOLDER]);
        for (const file of ['go.mod', 'go.sum']) await copyFile(join(GO_MODULE, file), join(folder, file));
        await writeFile(join(folder, 'relay.log'), logs.relay);
        await writeFile(join(folder, 'worker.log'), logs.worker);
      });

      for (const { line } of found) {
        it(line, async () => {
          const shell = { folder, env: { ...shellEnv, PATH: path } };
          const asks = line.startsWith('export ') ? `${line}; env | grep ^${line.split(/[ =]/)[1]}=..` : filledIn(line);
          const { code, stdout, stderr } = await paste(asks, shell);
          assert.equal(code, 0, stderr);
          const file = fileWrittenBy(line);
          const brought = file === undefined ? stdout : await readFile(join(folder, file), 'utf8');
          assert.notEqual(brought.trim(), '', `it brings nothing: ${stderr}`);
          for (const { check } of BRINGS.filter(each => each.line.test(line))) check(brought);
        });
      }
    });
  }

  it('associate the ServiceAccount that the chart makes', () => {
    assert.deepEqual(services.associations, [
      {
        path: '/clusters/production/pod-identity-associations',
        namespace: 'mail',
        serviceAccount: 'smtp-relay-opensend-smtp-relay-relay',
        roleArn: 'arn:aws:iam::123456789012:role/smtp-relay',
        clientRequestToken: services.associations[0]?.['clientRequestToken'],
      },
    ]);
  });
});

describe('statements of docs/operations.md', async () => {
  const document = (await readDocuments()).find(({ name }) => name === 'docs/operations.md');
  const statements = [...(document?.text ?? '').matchAll(/^ *```sql\n([\s\S]*?)^ *```$/gm)].map(([, sql = '']) => sql);

  it('are there', () => assert.ok(statements.length >= 2));

  for (const sql of statements) {
    it(sql.trim().replaceAll(/\s+/g, ' '), async t => {
      const url = await createDatabase(t as { after(fn: () => Promise<void>): void });
      await withClient(url, async db => {
        // Roles are those of the whole server, which other tests use.
        await db.query('begin');
        await db.query('create role relay');
        await db.query('create role owner');
        await db.query(sql);
        await db.query('rollback');
      });
    });
  }
});
