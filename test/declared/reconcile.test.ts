import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { createTables } from '../../src/declared/kinds/kinds.ts';
import { reconcile } from '../../src/declared/reconcile.ts';
import { createLogger } from '../../src/observability/log.ts';
import { createDeclaredRoutes } from '../../src/routing/declared-routes.ts';
import { box, createSystem, document } from './support.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const credential = (spec: object = {}) =>
  document('SmtpCredential', 'billing', { owner: 'acme', keyFile: 'billing/key', ...spec });
const domain = (spec: object = {}) => document('SendingDomain', 'acme', { owner: 'acme', name: 'acme.test', ...spec });
const NOTHING = { created: 0, updated: 0, removed: 0 };
const silent = createLogger({ level: 'silent', format: 'json' });

test('an object of each kind is created, kept and removed', async t => {
  const system = await createSystem(t, {
    'all.yaml': [
      credential({ domain: 'acme.test', limits: { messagesPerDay: 500 } }),
      domain({
        tracking: { opens: true },
        trackingSubdomain: 'links',
        configurationSet: 'main',
        tls: 'enforced',
        route: 'smarthost',
      }),
      document('SuppressionList', 'never', { owner: 'acme', addresses: ['Gone@Example.com', 'left@bücher.example'] }),
      document('WebhookEndpoint', 'hooks', {
        owner: 'acme',
        url: 'https://acme.test/hooks',
        events: ['email.bounced'],
        secretFile: 'hook',
      }),
      document('Route', 'smarthost', {
        transport: 'smtp',
        smtp: { host: 'smtp.example.com', passwordFile: 'smtp/password', timeout: '30s' },
      }),
    ].join(''),
  });
  const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
  await system.secrets.write('billing/key', 'os_live_0123456789abcdef\n');
  await system.secrets.write('hook', `${secret}\n`);
  await system.secrets.write('smtp/password', 'geheim\n');

  assert.deepEqual((await system.reconcile()).changes, { created: 5, updated: 0, removed: 0 });

  const [key] = await system.rows(
    'select k.*, c.limits from api_keys k join smtp_relay_credentials c on c.api_key_id = k.id',
  );
  assert.equal(key.token_hash, sha256('os_live_0123456789abcdef'));
  assert.deepEqual(
    [key.user_id, key.name, key.domain, key.limits],
    ['acme', 'billing', 'acme.test', { messagesPerDay: 500 }],
  );
  assert.ok(!JSON.stringify(key).includes('os_live_0123456789abcdef'));
  const [row] = await system.rows('select * from domains');
  assert.deepEqual(
    [row.name, row.track_opens, row.track_clicks, row.tracking_subdomain, row.ses_configuration_set_name, row.tls],
    ['acme.test', true, false, 'links', 'main', 'enforced'],
  );
  const suppressed = await system.rows('select email, reason from email_suppressions order by email');
  assert.deepEqual(suppressed, [
    { email: 'gone@example.com', reason: 'manual' },
    { email: 'left@xn--bcher-kva.example', reason: 'manual' },
  ]);
  const [hook] = await system.rows('select * from webhooks');
  assert.deepEqual([hook.url, hook.event_types, hook.status], ['https://acme.test/hooks', ['email.bounced'], 'active']);
  assert.equal(box.open(hook.signing_secret_enc, hook.id), secret);
  const routes = await createDeclaredRoutes(system.pool, {
    secretsDirectory: '/run/secrets',
    logger: silent,
  }).current();
  assert.deepEqual(routes, [
    {
      name: 'smarthost',
      domains: ['acme.test'],
      transport: 'smtp',
      smtp: { host: 'smtp.example.com', timeout: 30_000, passwordFile: '/run/secrets/smtp/password' },
    },
  ]);
  const status = await system.status('SmtpCredential', 'billing');
  assert.deepEqual([status?.ready, status?.reason], [true, 'Applied']);

  assert.deepEqual((await system.reconcile()).changes, NOTHING);
  await system.documents.remove('all.yaml');
  assert.deepEqual((await system.reconcile({ allowEmpty: true })).changes, { created: 0, updated: 0, removed: 5 });
  for (const table of [
    'api_keys',
    'domains',
    'email_suppressions',
    'webhooks',
    'smtp_relay_routes',
    'smtp_relay_credentials',
    'smtp_relay_domain_routes',
    'smtp_relay_declared',
  ]) {
    assert.deepEqual(await system.rows(`select * from ${table}`), [], table);
  }
});

test('a key in sandbox', async t => {
  const system = await createSystem(t, { 'a.yaml': credential({ sandbox: true, limits: { sessions: 2 } }) });
  await system.secrets.write('billing/key', 'a key of some length');
  const stored = () => system.rows('select sandbox, limits from smtp_relay_credentials');
  await system.reconcile();
  assert.deepEqual(await stored(), [{ sandbox: true, limits: { sessions: 2 } }]);
  assert.deepEqual((await system.reconcile()).changes, NOTHING);
  await system.documents.write('a.yaml', credential({ limits: { sessions: 2 } }));
  assert.deepEqual((await system.reconcile()).changes, { created: 0, updated: 1, removed: 0 });
  assert.deepEqual(await stored(), [{ sandbox: false, limits: { sessions: 2 } }]);
});

test('chaos of a key in sandbox, and of no other', async t => {
  const chaos = {
    replies: [{ stage: 'RCPT', code: 450, percent: 10 }],
    slowSeconds: 2,
    messagesPerMinute: 30,
    cutPercent: 5,
    late: { percent: 10, seconds: 90 },
  };
  const system = await createSystem(t, { 'a.yaml': credential({ sandbox: true, chaos }) });
  await system.secrets.write('billing/key', 'a key of some length');
  const stored = () => system.rows('select chaos, chaos_until from smtp_relay_credentials');
  await system.reconcile();
  assert.deepEqual(await stored(), [{ chaos, chaos_until: null }]);
  assert.deepEqual((await system.reconcile()).changes, NOTHING);
  await system.documents.write('a.yaml', credential({ sandbox: true }));
  assert.deepEqual((await system.reconcile()).changes, { created: 0, updated: 1, removed: 0 });
  assert.deepEqual(await stored(), [{ chaos: null, chaos_until: null }]);
  assert.deepEqual((await system.reconcile()).changes, NOTHING);
  for (const wrong of [
    { chaos },
    { sandbox: true, chaos: { replies: [{ stage: 'QUIT', code: 450, percent: 10 }] } },
    { sandbox: true, chaos: { replies: [{ stage: 'MAIL', code: 452, percent: 10 }] } },
    { sandbox: true, chaos: { cutPercent: 101 } },
    { sandbox: true, chaos: { replies: [451, 550].map(code => ({ stage: 'MAIL', code, percent: 51 })) } },
  ]) {
    await system.documents.write('a.yaml', credential(wrong));
    const { problems } = await system.read();
    assert.equal(problems.length, 1, JSON.stringify(wrong));
    assert.match(String(problems[0]?.path), /^spec\.chaos/);
  }
});

test('a key in sandbox is none beside OpenSend, and what was there stays as it is', async t => {
  const system = await createSystem(t, { 'a.yaml': credential() });
  await system.secrets.write('billing/key', 'a key of some length');
  const tables = createTables({ box, pipeline: 'opensend' });
  const reconcileThere = async () =>
    reconcile(await system.read(), { pool: system.pool, tables, holder: 'test', allowEmpty: false });
  await reconcileThere();
  await system.documents.write('a.yaml', credential({ sandbox: true }));
  assert.deepEqual((await reconcileThere()).changes, NOTHING);
  const status = await system.status('SmtpCredential', 'billing');
  assert.deepEqual([status?.ready, status?.reason], [false, 'NoSandbox']);
  assert.deepEqual(await system.rows('select sandbox from smtp_relay_credentials'), [{ sandbox: false }]);
});

test('a pass without a change writes nothing', async t => {
  const system = await createSystem(t, { 'a.yaml': credential() + domain() });
  await system.secrets.write('billing/key', 'a key of some length');
  await system.reconcile();
  const versions = () =>
    system.rows(`select xmin::text from api_keys union all select xmin::text from domains
                 union all select xmin::text from smtp_relay_declared union all select xmin::text from smtp_relay_leases`);
  const before = await versions();
  assert.equal(before.length, 5);
  assert.deepEqual((await system.reconcile()).written, []);
  assert.deepEqual(await versions(), before);
});

test('another content of the secret file is another key of the same credential', async t => {
  const system = await createSystem(t, { 'a.yaml': credential() });
  await system.secrets.write('billing/key', 'the old key');
  await system.reconcile();
  const [before] = await system.rows('select id from api_keys');
  await system.secrets.write('billing/key', 'the new key');
  const { changes } = await system.reconcile();
  assert.deepEqual(changes, { ...NOTHING, updated: 1 });
  assert.deepEqual(await system.rows('select id, token_hash from api_keys'), [
    { id: before.id, token_hash: sha256('the new key') },
  ]);
});

test('another signing secret signs at once, and the one before for a day too', async t => {
  const system = await createSystem(t, {
    'a.yaml': document('WebhookEndpoint', 'hooks', { owner: 'acme', url: 'https://acme.test/', secretFile: 'hook' }),
  });
  const secretOf = (byte: number): string => `whsec_${Buffer.alloc(32, byte).toString('base64')}`;
  await system.secrets.write('hook', secretOf(1));
  await system.reconcile();
  await system.secrets.write('hook', secretOf(2));
  await system.reconcile();
  const [row] = await system.rows(`
    select id, signing_secret_enc as current, previous_secret_enc as previous, previous_until > now() + interval '23 hours' as long
      from webhooks w join smtp_relay_webhooks s on s.webhook_id = w.id`);
  assert.equal(box.open(row.current, row.id), secretOf(2));
  assert.equal(box.open(row.previous, row.id), secretOf(1));
  assert.equal(row.long, true);
});

test('what somebody changed or removed by hand is put right', async t => {
  const system = await createSystem(t, { 'a.yaml': domain({ region: 'eu-central-1' }) });
  await system.reconcile();
  await system.rows("update domains set region = 'us-west-2'");
  assert.deepEqual((await system.reconcile()).changes, { ...NOTHING, updated: 1 });
  assert.deepEqual(await system.rows('select region from domains'), [{ region: 'eu-central-1' }]);
  await system.rows('delete from domains');
  await system.reconcile();
  assert.equal((await system.rows('select id from domains')).length, 1);
  assert.deepEqual((await system.reconcile()).changes, NOTHING);
});

test('what was made by hand is reported as a conflict, and never touched', async t => {
  const system = await createSystem(t, { 'a.yaml': domain({ region: 'eu-central-1' }) });
  await system.rows("insert into domains (name, user_id, region) values ('ACME.test', 'acme', 'us-west-2')");
  await system.reconcile();
  assert.deepEqual(await system.rows('select name, region from domains'), [{ name: 'ACME.test', region: 'us-west-2' }]);
  const status = await system.status('SendingDomain', 'acme');
  assert.deepEqual([status?.ready, status?.reason], [false, 'Conflict']);
  assert.deepEqual((await system.reconcile()).written, [], 'told once');
  await system.documents.remove('a.yaml');
  await system.reconcile();
  assert.equal((await system.rows('select id from domains')).length, 1);
  assert.equal(await system.status('SendingDomain', 'acme'), undefined);
});

test('of two documents that declare the same, the one that has it keeps it', async t => {
  const system = await createSystem(t, {
    'b.yaml': document('SendingDomain', 'b', { owner: 'acme', name: 'acme.test' }),
  });
  await system.reconcile();
  await system.documents.write('a.yaml', document('SendingDomain', 'a', { owner: 'acme', name: 'ACME.test' }));
  await system.reconcile();
  assert.equal((await system.status('SendingDomain', 'b'))?.ready, true);
  assert.match((await system.status('SendingDomain', 'a'))?.message ?? '', /"b" declares the same/);
  await system.documents.remove('b.yaml');
  await system.reconcile();
  assert.equal((await system.status('SendingDomain', 'a'))?.ready, true);
});

test('an object under another name takes the place of the one before', async t => {
  const system = await createSystem(t, { 'a.yaml': domain() });
  await system.reconcile();
  await system.documents.write('a.yaml', document('SendingDomain', 'other', { owner: 'acme', name: 'acme.test' }));
  await system.reconcile();
  assert.equal((await system.rows('select id from domains')).length, 1);
  assert.equal((await system.status('SendingDomain', 'other'))?.ready, true);
  assert.equal(await system.status('SendingDomain', 'acme'), undefined);
});

test('a suppression list owns what it has put there, and nothing else', async t => {
  const system = await createSystem(t);
  const list = (...addresses: string[]) => document('SuppressionList', 'never', { owner: 'acme', addresses });
  await system.rows(
    "insert into email_suppressions (user_id, email, reason) values ('acme', 'hand@example.com', 'complained')",
  );
  await system.documents.write(
    'a.yaml',
    list('hand@example.com', 'one@example.com', 'two@example.com', 'bad@example.com'),
  );
  await system.reconcile();
  assert.match((await system.status('SuppressionList', 'never'))?.message ?? '', /^1 entry stood there already/);
  await system.rows("update email_suppressions set reason = 'bounced' where email = 'bad@example.com'");
  await system.documents.write('a.yaml', list('two@example.com'));
  await system.reconcile();
  const emails = async () =>
    (await system.rows('select email from email_suppressions order by email')).map(row => row.email);
  assert.deepEqual(await emails(), ['bad@example.com', 'hand@example.com', 'two@example.com']);
  await system.documents.write(
    'a.yaml',
    document('SuppressionList', 'never', { owner: 'acme', addressesFile: 'never.txt' }),
  );
  await system.documents.write('never.txt', '# left us\nthree@example.com\n\n');
  await system.reconcile();
  assert.deepEqual(await emails(), ['bad@example.com', 'hand@example.com', 'three@example.com']);
});

for (const [what, content] of [
  ['a value that is not right', domain({ name: 'acme..test' })],
  ['an unknown field', domain({ colour: 'red' })],
] as const) {
  test(`a document with ${what} keeps what it declared before`, async t => {
    const system = await createSystem(t, {
      'a.yaml': domain(),
      'b.yaml': credential({ keyFile: undefined, keyHash: sha256('x') }),
    });
    await system.reconcile();
    await system.documents.write('a.yaml', content);
    await system.documents.remove('b.yaml');
    const { changes, declarations } = await system.reconcile();
    assert.deepEqual(changes, { ...NOTHING, removed: 1 }, 'others are removed');
    assert.equal(declarations.problems.length, 1);
    assert.equal((await system.rows('select id from domains')).length, 1);
    const status = await system.status('SendingDomain', 'acme');
    assert.deepEqual([status?.ready, status?.reason], [false, 'Invalid']);
    await system.documents.write('a.yaml', domain({ tls: 'enforced' }));
    assert.deepEqual((await system.reconcile()).changes, { ...NOTHING, updated: 1 });
    assert.equal((await system.status('SendingDomain', 'acme'))?.ready, true);
  });
}

test('nothing is removed where a file cannot be read as documents', async t => {
  const system = await createSystem(t, {
    'a.yaml': domain(),
    'b.yaml': document('SendingDomain', 'b', { owner: 'b', name: 'b.test' }),
  });
  await system.reconcile();
  await system.documents.remove('a.yaml');
  await system.documents.write('b.yaml', 'kind: [SendingDomain');
  assert.deepEqual((await system.reconcile()).changes, NOTHING);
  assert.equal((await system.rows('select id from domains')).length, 2);
  await system.documents.write('b.yaml', domain({ name: 'c.test' }).replaceAll('"acme"', '"c"'));
  assert.deepEqual((await system.reconcile()).changes, { created: 1, updated: 0, removed: 2 });
});

test('a secret file that is away keeps the key that is there', async t => {
  const system = await createSystem(t, { 'a.yaml': credential() });
  await system.reconcile();
  assert.equal((await system.status('SmtpCredential', 'billing'))?.reason, 'FileUnreadable');
  await system.secrets.write('billing/key', 'the key');
  await system.reconcile();
  await system.secrets.remove('billing/key');
  await system.reconcile();
  assert.equal((await system.rows('select id from api_keys')).length, 1);
  assert.equal((await system.status('SmtpCredential', 'billing'))?.ready, false);
});

test('what the database refuses does not hold up the rest', async t => {
  const system = await createSystem(t, {
    'a.yaml': domain() + document('SendingDomain', 'b', { owner: 'b', name: 'b.test' }),
  });
  await system.rows("alter table domains add check (name <> 'b.test')");
  await system.reconcile();
  assert.deepEqual(await system.rows('select name from domains'), [{ name: 'acme.test' }]);
  const status = await system.status('SendingDomain', 'b');
  assert.deepEqual([status?.ready, status?.reason], [false, 'Refused']);
});

test('a route that no document declares is not taken', async t => {
  const system = await createSystem(t, { 'a.yaml': domain({ route: 'nowhere' }) });
  const { declarations } = await system.reconcile();
  assert.match(declarations.problems[0]?.why ?? '', /no document declares/);
  assert.deepEqual(await system.rows('select id from domains'), []);
});

test('the generation of the metadata is the one observed', async t => {
  const system = await createSystem(t, {
    'a.yaml': document(
      'SendingDomain',
      'acme',
      { owner: 'acme', name: 'acme.test' },
      { generation: 7, labels: { a: 'b' } },
    ),
  });
  await system.reconcile();
  assert.equal((await system.status('SendingDomain', 'acme'))?.generation, 7);
});
