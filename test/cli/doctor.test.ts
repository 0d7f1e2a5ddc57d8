import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { env as processEnv } from 'node:process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { settings } from '../../src/config/schema.ts';
import { type Right, rightsOf } from '../../src/doctor/checks/rights.ts';
import { examine } from '../../src/doctor/examine.ts';
import { type DoctorParts, ok } from '../../src/doctor/finding.ts';
import { createBucket } from '../support/bucket.ts';
import { withClient } from '../support/postgres-server.ts';
import { sqsEnv } from '../support/queue.ts';
import { startRelay, type TestContext, type TestRelay } from '../support/relay.ts';
import { sesEnv, startFakeSes } from '../support/ses/start.ts';
import { makeCertificate } from '../support/tls.ts';
import { runInProcess } from './run-cli.ts';
import { startDns, type Zone } from './support/dns-server.ts';

interface Shown {
  readonly what: string;
  readonly state: string;
  readonly detail: string;
  readonly remedy?: string;
}

type Env = Record<string, string>;

/** All that the command finds, by what it is about. */
async function doctor(env: Env, ...args: string[]) {
  const { code, stdout, stderr } = await runInProcess(['doctor', '--json', '--timeout', '60s', ...args], env);
  assert.notEqual(stdout, '', stderr);
  const report = JSON.parse(stdout) as { ok: boolean; checks: { check: string; findings: Shown[] }[] };
  const found = new Map(report.checks.flatMap(({ findings }) => findings.map(each => [each.what, each] as const)));
  assert.equal(code, report.ok ? 0 : 1);
  return {
    found,
    /** The findings that are not `ok`, as `state what`. */
    notOk: [...found.values()].filter(({ state }) => state !== 'ok').map(({ state, what }) => `${state} ${what}`),
    ok: report.ok,
  };
}

/** What is not as it should be about one thing, which must say what to do. */
function faultOf(found: ReadonlyMap<string, Shown>, what: string): Shown {
  const finding = found.get(what);
  assert.ok(finding, `${what} is told of, among ${[...found.keys()].join(', ')}`);
  assert.equal(finding.state, 'failed', JSON.stringify(finding));
  assert.ok(finding.remedy, `${what} has a remedy`);
  return finding;
}

/** A relay that runs, and the environment of commands beside it. */
async function startStandalone(t: TestContext, settings: Parameters<typeof startRelay>[1] = {}) {
  const httpPort = await freePort();
  const relay = await startRelay(t, {
    ...settings,
    settings: { pipeline: 'standalone', httpPort, ...settings.settings },
  });
  return { relay, env: environmentOf(relay, httpPort) };
}

function environmentOf(relay: TestRelay, httpPort: number): Env {
  return {
    DATABASE_URL: relay.databaseUrl,
    SMTP_RELAY_PIPELINE: 'standalone',
    SMTP_RELAY_HOST: relay.host,
    SMTP_RELAY_PORT: String(relay.port),
    SMTP_RELAY_HTTP_PORT: String(httpPort),
    SMTP_RELAY_HOSTNAME: 'localhost',
    SMTP_RELAY_TRANSPORT: 'capture',
    SMTP_RELAY_DATABASE_CONNECT_TIMEOUT: '60s',
    ...(relay.queue && { BACKGROUND_JOBS_QUEUE_URL: relay.queue.url, ...sqsEnv() }),
    ...(relay.certificate && {
      SMTP_RELAY_TLS_CERT_PATH: relay.certificate.certPath,
      SMTP_RELAY_TLS_KEY_PATH: relay.certificate.keyPath,
    }),
  };
}

/** A port that nobody had a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}

/** A web server that answers everything alike. */
async function startWeb(t: TestContext, status: number, type: string, body: string): Promise<string> {
  const server = createHttpServer((_request, response) =>
    response.writeHead(status, { 'content-type': type }).end(body),
  );
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    server.closeAllConnections();
    await new Promise(resolve => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('smtp-relay doctor', { concurrency: 2 }, () => {
  it('finds nothing wrong with what is right, and sends nothing', async t => {
    const { relay, env } = await startStandalone(t);
    const { found, notOk, ok: isWell } = await doctor(env);
    assert.deepEqual(notOk, [
      'advice dead letters of the queue of jobs',
      'skipped queue of events',
      'skipped bucket of originals',
      'skipped SES',
      'skipped sending domains',
      'advice route default',
      'advice certificate chain',
      'skipped public URL',
    ]);
    assert.ok(isWell);
    assert.match(found.get(`port ${relay.port}`)?.detail ?? '', /^answers, with TLSv1\.3/);
    assert.match(found.get('rights on the queue of jobs')?.detail ?? '', /SendMessage.*ReceiveMessage/);
    assert.match(found.get('database')?.detail ?? '', /takes writes/);
    assert.deepEqual(await relay.queue?.receiveAll(), []);
    assert.equal((await relay.db.query('select from emails')).rowCount, 0);
  });

  it('prints a line for each finding and a remedy below it, without colours where nobody asks for them', async t => {
    const { env } = await startStandalone(t, { queue: false, tls: false });
    const { code, stdout, stderr } = await runInProcess(['doctor', '--only', 'certificate', 'ports'], env);
    assert.equal(code, 0, stderr);
    assert.match(
      stdout,
      /^advice {3}certificate: none: .*\n {9}-> set SMTP_RELAY_TLS_CERT_PATH and .*\nok {7}port \d+: /,
    );
    assert.equal(stderr, '');
  });

  it('tells of a configuration that is wrong, and looks no further', async () => {
    const { found } = await doctor({ SMTP_RELAY_PORT: '25x7' });
    assert.deepEqual([...found.keys()].sort(), ['databaseUrl', 'port']);
    assert.match(faultOf(found, 'databaseUrl').remedy ?? '', /DATABASE_URL/);
  });

  it('refuses names of checks that there are not', async () => {
    const { code, stderr } = await runInProcess(['doctor', '--only', 'databse'], {});
    assert.equal(code, 2);
    assert.match(stderr, /It must be one of configuration, database, /);
  });

  it('tells of a database that is away, and skips what needs it', async () => {
    const env = { DATABASE_URL: 'postgres://relay:s3cret@127.0.0.1:1/relay' };
    const { found } = await doctor(env, '--only', 'database', 'schema', 'rights', 'domains');
    assert.match(faultOf(found, 'database').detail, /^cannot reach the database/);
    assert.match(faultOf(found, 'database').remedy ?? '', /DATABASE_URL/);
    assert.deepEqual(
      ['schema', 'rights', 'domains'].map(what => found.get(what)?.state),
      ['skipped', 'skipped', 'skipped'],
    );
    assert.doesNotMatch(JSON.stringify([...found]), /s3cret/);
  });

  it('tells of a schema that is behind, of the other pipeline, and of a missing right', async t => {
    const { relay, env } = await startStandalone(t, { queue: false });
    const look = (more: Env = {}) => doctor({ ...env, ...more }, '--only', 'database', 'schema', 'rights');
    const other = await look({ SMTP_RELAY_PIPELINE: 'opensend' });
    assert.match(faultOf(other.found, 'pipeline').remedy ?? '', /SMTP_RELAY_PIPELINE/);

    await withClient(relay.databaseUrl, async client => {
      const role = `doctor_${Date.now()}`;
      await client.query(`create role ${role} login password 'secret'`);
      await client.query(`grant select on all tables in schema public to ${role}`);
      try {
        const url = new URL(relay.databaseUrl);
        Object.assign(url, { username: role, password: 'secret' });
        const { found } = await look({ DATABASE_URL: url.href });
        const { detail, remedy } = faultOf(found, 'rights');
        assert.match(
          detail,
          /insert on emails; .*update \(last_used_at\) on api_keys|update \(last_used_at\) on api_keys.*insert on emails/,
        );
        assert.match(remedy ?? '', /docs\/security\.md/);
      } finally {
        await client.query(`drop owned by ${role}`);
        await client.query(`drop role ${role}`);
      }
      await client.query('alter table emails alter column subject drop not null, drop column html');
      assert.match(faultOf((await look()).found, 'shared tables').detail, /emails\.html is missing/);
      await client.query('delete from smtp_relay_migrations where id = (select max(id) from smtp_relay_migrations)');
    });
    const behind = await look();
    assert.equal(behind.found.get('schema')?.state, 'advice');
    const byHand = await look({ SMTP_RELAY_MIGRATIONS: 'none' });
    assert.match(faultOf(byHand.found, 'schema').remedy ?? '', /smtp-relay migrate/);
    assert.equal(byHand.found.get('rights')?.state, 'skipped');
  });

  it('tells of queues that are not there, and of rights that AWS refuses', async t => {
    const { env } = await startStandalone(t, { tls: false });
    const url = env['BACKGROUND_JOBS_QUEUE_URL'] ?? '';
    const look = (more: Env) => doctor({ ...env, ...more }, '--only', 'queue', 'events');
    const gone = await look({ BACKGROUND_JOBS_QUEUE_URL: `${url}-gone`, SMTP_RELAY_EVENTS_QUEUE_URL: url });
    assert.match(faultOf(gone.found, 'queue of jobs').remedy ?? '', /BACKGROUND_JOBS_QUEUE_URL/);
    assert.equal(gone.found.get('queue of events')?.state, 'ok');

    const body = JSON.stringify({ __type: 'com.amazon.coral.service#AccessDeniedException', message: 'no' });
    const refusing = await startWeb(t, 400, 'application/x-amz-json-1.0', body);
    const denied = await look({ AWS_ENDPOINT_URL_SQS: refusing });
    const { detail, remedy } = faultOf(denied.found, 'rights on the queue of jobs');
    assert.match(detail, /sqs:SendMessage, sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility/);
    assert.match(remedy ?? '', /docs\/iam\.md/);
    const relay = await doctor({ ...env, AWS_ENDPOINT_URL_SQS: refusing }, '--only', 'queue', '--role', 'relay');
    assert.match(faultOf(relay.found, 'rights on the queue of jobs').detail, /^AWS refuses sqs:SendMessage$/);

    const away = await look({ AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:1' });
    assert.match(faultOf(away.found, 'queue of jobs').remedy ?? '', /AWS_ENDPOINT_URL_SQS/);
  });

  it('tells of a bucket that is not there', async t => {
    const { env } = await startStandalone(t, { queue: false, tls: false });
    const bucket = await createBucket(t);
    const byS3 = {
      ...env,
      SMTP_RELAY_ORIGINALS_STORE: 's3',
      SMTP_RELAY_ORIGINALS_S3_BUCKET: bucket.name,
      AWS_ENDPOINT_URL_S3: String(bucket.settings['originals.s3.endpoint']),
    };
    const there = await doctor(byS3, '--only', 'bucket');
    assert.equal(there.found.get('bucket of originals')?.detail, `S3 answers for ${bucket.name}`);
    const gone = await doctor({ ...byS3, SMTP_RELAY_ORIGINALS_S3_BUCKET: `${bucket.name}-gone` }, '--only', 'bucket');
    assert.match(faultOf(gone.found, 'bucket of originals').remedy ?? '', /SMTP_RELAY_ORIGINALS_S3_BUCKET/);
    assert.deepEqual(await bucket.keys(), []);
  });

  it('tells what SES and DNS lack for the domains', async t => {
    const ses = await startFakeSes(t, { sandbox: true });
    const zone: Zone = {};
    const nameserver = await startDns(t, zone);
    const { relay, env } = await startStandalone(t, { queue: false, tls: false });
    await relay.db.query('delete from domains');
    const { AWS_ENDPOINT_URL_SESV2: _, ...credentials } = sesEnv(ses);
    // The SDK reads its credentials there.
    Object.assign(processEnv, credentials);
    const bySes = { ...env, SMTP_RELAY_TRANSPORT: 'ses', ...sesEnv(ses) };
    const look = () =>
      doctor(bySes, '--only', 'database', 'schema', 'ses', 'domains', 'events', '--nameserver', nameserver);
    const none = await look();
    assert.equal(none.found.get('sending domains')?.state, 'advice');
    assert.equal(none.found.get('queue of events')?.state, 'advice');
    assert.match(faultOf(none.found, 'SES account in us-east-1').detail, /sandbox/);

    const added = await runInProcess(['domains', 'add', 'acme.test', '--owner', 'acme', '--ses', '--json'], bySes);
    assert.equal(added.code, 0, added.stderr);
    const { records } = JSON.parse(added.stdout) as { records: { name: string; type: string; value: string }[] };
    const missing = await look();
    const dkim = records.find(({ type }) => type === 'CNAME');
    assert.match(faultOf(missing.found, `DNS ${dkim?.name} CNAME`).remedy ?? '', /smtp-relay domains check acme\.test/);
    faultOf(missing.found, 'DNS _dmarc.acme.test TXT');

    for (const { name, type, value } of records) zone[name] = { ...zone[name], [type]: [value] };
    ses.account.identity('acme.test').verified = true;
    const complete = await look();
    assert.match(complete.found.get('acme.test')?.detail ?? '', /are right$/);
    assert.deepEqual(
      complete.notOk.filter(line => line.startsWith('failed')),
      ['failed SES account in us-east-1'],
    );
  });

  it('tells of a certificate for another name, of one that ends, and of one whose chain is broken', async t => {
    const { relay, env } = await startStandalone(t, { queue: false });
    const look = (more: Env, ...args: string[]) => doctor({ ...env, ...more }, '--only', 'certificate', ...args);
    const named = await look({}, '--name', 'smtp.acme.test');
    assert.match(faultOf(named.found, 'name of the certificate').detail, /smtp\.acme\.test.*localhost/);

    const soon = await makeCertificate(t, { notAfter: new Date(Date.now() + 3 * 86_400_000) });
    const ending = await look({ SMTP_RELAY_TLS_CERT_PATH: soon.certPath, SMTP_RELAY_TLS_KEY_PATH: soon.keyPath });
    assert.equal(ending.found.get('end of the certificate')?.state, 'advice');
    const old = await makeCertificate(t, { notAfter: new Date(Date.now() - 1000), notBefore: new Date(0) });
    const ended = await look({ SMTP_RELAY_TLS_CERT_PATH: old.certPath, SMTP_RELAY_TLS_KEY_PATH: old.keyPath });
    faultOf(ended.found, 'end of the certificate');

    const mixed = join(soon.directory, 'mixed.crt');
    await writeFile(mixed, `${relay.certificate?.cert}${soon.ca}`);
    const broken = await look({ SMTP_RELAY_TLS_CERT_PATH: mixed });
    assert.match(faultOf(broken.found, 'certificate chain').detail, /is not signed by the one that follows/);
  });

  it('tells of ports where nobody answers, or somebody else does', async t => {
    const { relay, env } = await startStandalone(t, { queue: false });
    const other = await makeCertificate(t);
    const replaced = await doctor(
      { ...env, SMTP_RELAY_TLS_CERT_PATH: other.certPath, SMTP_RELAY_TLS_KEY_PATH: other.keyPath },
      '--only',
      'ports',
    );
    assert.match(replaced.found.get(`port ${relay.port}`)?.detail ?? '', /another certificate/);
    const web = await startWeb(t, 503, 'application/json', '{"ok":false,"reasons":["starting"]}');
    const strangers = { SMTP_RELAY_HTTP_PORT: new URL(web).port, TRACKING_BASE_URL: web };
    const { found } = await doctor(
      { ...env, ...strangers, SMTP_RELAY_PORT: '1' },
      '--only',
      'ports',
      'readiness',
      'public-url',
    );
    assert.match(faultOf(found, 'port 1').remedy ?? '', /smtp-relay relay.*--host/);
    assert.equal(faultOf(found, 'readiness').detail, 'not ready: starting');
    assert.match(faultOf(found, 'public URL').remedy ?? '', /TRACKING_BASE_URL/);
    const away = { SMTP_RELAY_HTTP_PORT: '1', TRACKING_BASE_URL: 'http://127.0.0.1:1' };
    const nobody = await doctor({ ...env, ...away }, '--only', 'readiness', 'public-url');
    assert.match(faultOf(nobody.found, 'readiness').detail, /does not answer/);
    assert.match(faultOf(nobody.found, 'public URL').detail, /does not answer/);
  });

  it('logs in to smarthosts, and tries folders', async t => {
    const { relay, env } = await startStandalone(t, { queue: false });
    const smarthost = {
      ...env,
      SMTP_RELAY_TRANSPORT: 'smtp',
      SMTP_RELAY_SMTP_HOST: relay.host,
      SMTP_RELAY_SMTP_PORT: String(relay.port),
      SMTP_RELAY_SMTP_USER: 'apikey',
      SMTP_RELAY_SMTP_PASSWORD: relay.owner.apiKey,
      SMTP_RELAY_SMTP_CA_PATH: relay.certificate?.caPath ?? '',
    };
    const good = await doctor(smarthost, '--only', 'routes');
    assert.equal(good.found.get('route default')?.state, 'ok');
    const refused = await doctor({ ...smarthost, SMTP_RELAY_SMTP_PASSWORD: 'os_live_wrong' }, '--only', 'routes');
    assert.match(faultOf(refused.found, 'route default').remedy ?? '', /SMTP_RELAY_SMTP_PASSWORD/);
    assert.doesNotMatch(JSON.stringify([...refused.found]), /os_live_wrong/);
    const stranger = await doctor({ ...smarthost, SMTP_RELAY_SMTP_CA_PATH: '' }, '--only', 'routes');
    assert.match(faultOf(stranger.found, 'route default').remedy ?? '', /SMTP_RELAY_SMTP_CA_PATH/);
    const folder = await doctor({ ...env, SMTP_RELAY_CAPTURE_DIRECTORY: '/dev/null/captured' }, '--only', 'routes');
    assert.match(faultOf(folder.found, 'route default').remedy ?? '', /SMTP_RELAY_CAPTURE_DIRECTORY/);
  });

  it('looks at routes that documents declare, and tells of those that cannot be used', async t => {
    const { relay, env } = await startStandalone(t, { queue: false });
    const { host, port, owner, db } = relay;
    const declare = (name: string, settings: object) =>
      db.query(
        "insert into smtp_relay_routes (id, name, domains, transport, settings) values (gen_random_uuid(), $1, $2, 'smtp', $3)",
        [...[name, JSON.stringify([`${name}.test`]), JSON.stringify(settings)]],
      );
    const smarthost = { host, port: String(port), user: 'apikey', caPath: relay.certificate?.caPath };
    await declare('good', { ...smarthost, password: owner.apiKey });
    await declare('refused', { ...smarthost, password: 'os_live_wrong' });
    await declare('away', { host, port: '1' });
    await declare('broken', { host, port: 'none' });
    const { found } = await doctor(env, '--only', 'routes');
    assert.match(found.get('route good')?.detail ?? '', /takes the log-in of apikey$/);
    assert.match(faultOf(found, 'route refused').remedy ?? '', /those of the route/);
    assert.match(faultOf(found, 'route away').detail, /ECONNREFUSED/);
    assert.match(faultOf(found, 'route broken').remedy ?? '', /smtp-relay resources list/);
    assert.doesNotMatch(JSON.stringify([...found]), /os_live_wrong/);
    const away = await doctor({ ...env, DATABASE_URL: 'postgres://relay:x@127.0.0.1:1/relay' }, '--only', 'routes');
    assert.deepEqual([...away.found.keys()], ['route default', 'declared routes']);
    assert.equal(away.found.get('declared routes')?.state, 'skipped');
  });

  it('tells what DNS lacks for domains that go by a smarthost', async t => {
    const zone: Zone = {};
    const nameserver = await startDns(t, zone);
    const { relay, env } = await startStandalone(t, { queue: false, tls: false });
    const { domain } = relay.owner;
    const bySmarthost = { ...env, SMTP_RELAY_TRANSPORT: 'smtp', SMTP_RELAY_SMTP_HOST: '127.0.0.1' };
    const only = ['--only', 'database', 'schema', 'domains', '--nameserver', nameserver];
    const captured = await doctor(env, ...only);
    assert.equal(captured.found.get('sending domains')?.detail, 'nothing leaves this machine');
    const bare = await doctor(bySmarthost, ...only);
    assert.deepEqual(
      [`DNS ${domain} TXT`, `DNS ${domain} MX`, `DNS _dmarc.${domain} TXT`].map(what => bare.found.get(what)?.state),
      ['advice', 'advice', 'advice'],
    );
    assert.match(bare.found.get(`DNS ${domain} TXT`)?.detail ?? '', /no SPF: publish one/);
    zone[domain] = { TXT: ['v=spf1 -all', 'v=spf1 include:host.test ~all'], MX: ['0 .'] };
    zone[`_dmarc.${domain}`] = { TXT: ['v=DMARC1; p=reject'] };
    const twice = await doctor(bySmarthost, ...only);
    assert.match(faultOf(twice.found, `DNS ${domain} TXT`).detail, /2 records of SPF, so none counts/);
    assert.match(twice.found.get(`DNS ${domain} MX`)?.detail ?? '', /bounces to MAIL FROM/);
    zone[domain] = { TXT: ['v=spf1 include:host.test ~all', 'other'], MX: ['10 mx.host.test'] };
    const complete = await doctor(bySmarthost, ...only);
    assert.equal(complete.found.get(domain)?.detail, '3 of 3 records and settings are right');
    assert.ok(complete.ok);
  });

  it('ends in time whatever hangs, and looks at the rest meanwhile', async () => {
    const hangs = { name: 'hangs', run: () => new Promise<never>(() => {}) };
    const behind = { name: 'behind', needs: 'hangs', run: async () => [ok('behind', 'well')] };
    const breaks = { name: 'breaks', run: () => Promise.reject(new Error('broken')) };
    const well = { name: 'well', run: async () => [ok('well', 'well')] };
    const reports = await examine({} as DoctorParts, { timeLimit: 50, checks: [hangs, behind, breaks, well] });
    assert.deepEqual(
      reports.map(({ check, findings }) => [check, findings[0]?.state, findings[0]?.detail]),
      [
        ['hangs', 'failed', 'it took longer than 0.05 s'],
        ['behind', 'skipped', 'it needs what "hangs" looks at'],
        ['breaks', 'failed', 'broken'],
        ['well', 'ok', 'well'],
      ],
    );
  });

  it('names no setting in a remedy that does not exist', async () => {
    const known = new Set(settings.map(({ env }) => env));
    const folder = fileURLToPath(new URL('../../src/doctor', import.meta.url));
    const files = (await readdir(folder, { recursive: true })).filter(name => name.endsWith('.ts'));
    const texts = await Promise.all(files.map(name => readFile(join(folder, name), 'utf8')));
    const named = texts.flatMap(text => text.match(/\bSMTP_RELAY_[A-Z0-9_]*[A-Z0-9]\b/g) ?? []);
    assert.ok(named.length > 20);
    assert.deepEqual(
      named.filter(name => !known.has(name)),
      [],
    );
  });

  it('wants the rights that docs/security.md grants, and no others', async () => {
    const text = await readFile(new URL('../../docs/security.md', import.meta.url), 'utf8');
    const [, section = ''] = text.split('## Database roles\n');
    const granted = { smtp_relay: new Set<string>(), smtp_worker: new Set<string>() };
    for (const [, rights = '', tables = '', roles = ''] of section.matchAll(
      /^grant ([^;]*?) on ([\s\w,]+?) to ([\w, ]+);/gm,
    )) {
      if (tables.startsWith('schema')) continue;
      for (const table of tables.split(',')) {
        for (const right of rights.split(/,\s*/)) {
          for (const [role, all] of Object.entries(granted))
            if (roles.includes(role)) all.add(`${right} ${table.trim()}`);
        }
      }
    }
    const print = (rights: readonly Right[]) => {
      const all = rights.flatMap(({ table, column, privileges }) =>
        privileges.map(privilege => `${privilege}${column ? ` (${column})` : ''} ${table}`),
      );
      return [...new Set(all)].sort();
    };
    assert.deepEqual(print(rightsOf('relay', { declares: true, hasInbox: true })), [...granted.smtp_relay].sort());
    assert.deepEqual(print(rightsOf('worker', { declares: true, hasInbox: true })), [...granted.smtp_worker].sort());
  });
});
