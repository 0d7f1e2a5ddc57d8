import assert from 'node:assert/strict';
import { env as processEnv } from 'node:process';
import { describe, it, type TestContext } from 'node:test';
import { createDatabase } from '../support/database.ts';
import type { FakeSes, FakeSesOptions } from '../support/ses/server.ts';
import { sesEnv, startFakeSes } from '../support/ses/start.ts';
import { runCli, runInProcess } from './run-cli.ts';
import { startDns, type Zone } from './support/dns-server.ts';

async function start(t: TestContext, options: FakeSesOptions = {}) {
  const ses = await startFakeSes(t, options);
  const zone: Zone = {};
  const nameserver = await startDns(t, zone);
  const env: Record<string, string> = { DATABASE_URL: await createDatabase(t), ...sesEnv(ses) };
  const run = (...args: string[]) => runInProcess(args, env);
  // The SDK reads its credentials there.
  const { AWS_ENDPOINT_URL_SESV2: _, ...credentials } = sesEnv(ses);
  Object.assign(processEnv, credentials);
  return {
    ses,
    zone,
    env,
    run,
    async json(...args: string[]) {
      const { code, stdout, stderr } = await run(...args, '--json');
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout);
    },
    /** What `domains check` says of each thing, and its exit code. */
    async check(
      name: string,
    ): Promise<{ code: number; states: Record<string, string>; details: Record<string, string> }> {
      const { code, stdout, stderr } = await run('domains', 'check', name, '--nameserver', nameserver, '--json');
      assert.notEqual(stdout, '', stderr);
      const { checks } = JSON.parse(stdout) as { checks: { what: string; state: string; detail: string }[] };
      return {
        code,
        states: Object.fromEntries(checks.map(({ what, state }) => [what, state])),
        details: Object.fromEntries(checks.map(({ what, detail }) => [what, detail])),
      };
    },
  };
}

/** Sets the records that were printed. */
function publish(zone: Zone, records: { name: string; type: 'CNAME' | 'MX' | 'TXT'; value: string }[]): void {
  for (const { name, type, value } of records) zone[name] = { ...zone[name], [type]: [value] };
}

function verify(ses: FakeSes, name: string): void {
  ses.account.identity(name).verified = true;
}

describe('smtp-relay domains add --ses', { concurrency: true }, () => {
  it('creates the identity, and prints records that go into a zone file as they are', async t => {
    const { ses, run } = await start(t);
    const args = ['domains', 'add', 'acme.test', '--owner', 'acme', '--region', 'eu-west-1', '--ses'];
    const added = await run(...args, '--mail-from', 'bounce');
    assert.equal(added.code, 0, added.stderr);
    const identity = ses.account.identity('acme.test');
    assert.equal(identity.mailFromDomain, 'bounce.acme.test');
    const lines = added.stdout
      .trimEnd()
      .split('\n')
      .filter(line => !line.startsWith(';'));
    assert.deepEqual(lines, [
      ...identity.dkimTokens.map(token => `${token}._domainkey.acme.test. 3600 IN CNAME ${token}.dkim.amazonses.com.`),
      'bounce.acme.test. 3600 IN MX 10 feedback-smtp.eu-west-1.amazonses.com.',
      'bounce.acme.test. 3600 IN TXT "v=spf1 include:amazonses.com ~all"',
      '_dmarc.acme.test. 3600 IN TXT "v=DMARC1; p=none;"',
    ]);
    assert.match(added.stderr, /^acme\.test is now a domain of acme\.\n.*smtp-relay domains check acme\.test\n$/s);
    const again = await run(...args);
    assert.deepEqual([again.code, again.stdout], [0, added.stdout]);
    assert.match(again.stderr, /^acme\.test is already a domain of acme\./);
  });

  it('suggests a MAIL FROM domain where there is none, commented out', async t => {
    const { run, json } = await start(t);
    const { stdout } = await run('domains', 'add', 'acme.test', '--owner', 'acme', '--ses');
    assert.match(stdout, /^; SPF .*needs --mail-from\)\n; bounce\.acme\.test\. 3600 IN TXT "v=spf1 /m);
    const answer = await json('domains', 'add', 'acme.test', '--owner', 'acme', '--ses');
    assert.deepEqual(
      answer.records.map(({ type, required }: { type: string; required: boolean }) => [type, required]),
      [
        ['CNAME', true],
        ['CNAME', true],
        ['CNAME', true],
        ['MX', false],
        ['TXT', false],
        ['TXT', true],
      ],
    );
    assert.deepEqual([answer.name, answer.identity.verified], ['acme.test', false]);
    const [row] = await json('domains', 'list');
    assert.equal(row.status, 'pending');
  });

  it('says which of the two sides does not answer, and is ready to be run again', async t => {
    const { ses, run, env, json } = await start(t);
    const args = ['domains', 'add', 'acme.test', '--owner', 'acme', '--ses'];
    const wrongKey = await runCli(args, { ...env, AWS_SECRET_ACCESS_KEY: 'wrong' });
    assert.equal(wrongKey.code, 1);
    assert.match(wrongKey.stderr, /^smtp-relay: Amazon SES in us-east-1 answers /);
    const unreachable = await runCli(args, { ...env, AWS_ENDPOINT_URL_SESV2: 'http://127.0.0.1:1' });
    assert.equal(unreachable.code, 1);
    assert.match(unreachable.stderr, /^smtp-relay: Amazon SES in us-east-1 cannot be reached: /);
    assert.equal(ses.account.identities.size, 0);
    assert.equal((await run(...args)).code, 0);
    assert.equal((await json('domains', 'list')).length, 1);
  });

  it('refuses a MAIL FROM that is not below the domain', async t => {
    const { run } = await start(t);
    const args = ['domains', 'add', 'acme.test', '--owner', 'acme', '--mail-from'];
    assert.equal((await run(...args, 'bounce.other.test', '--ses')).code, 2);
    assert.equal((await run(...args, 'bounce')).code, 2);
  });
});

describe('smtp-relay domains check', { concurrency: true }, () => {
  it('says what is missing until nothing is', async t => {
    const { ses, zone, env, run, json, check } = await start(t);
    env['TRACKING_BASE_URL'] = 'https://track.relay.test';
    env['TRACKING_SECRET'] = 'a secret of sixteen or more';
    await run('domains', 'add', 'mail.acme.test', '--owner', 'acme');
    const unknown = await check('mail.acme.test');
    assert.equal(unknown.code, 1);
    assert.equal(unknown.states['SES identity'], 'missing');
    assert.match(unknown.details['SES identity'] ?? '', /smtp-relay domains add mail\.acme\.test --ses/);

    await run('domains', 'set', 'mail.acme.test', '--track-clicks', '--tracking-subdomain', 'links');
    const args = ['domains', 'add', 'mail.acme.test', '--owner', 'acme', '--ses', '--mail-from', 'bounce'];
    const { records } = await json(...args);
    const waiting = await check('mail.acme.test');
    assert.equal(waiting.code, 1);
    const [token] = ses.account.identity('mail.acme.test').dkimTokens;
    const dkim = `DNS ${token}._domainkey.mail.acme.test CNAME`;
    const mx = 'DNS bounce.mail.acme.test MX';
    const spf = 'DNS bounce.mail.acme.test TXT';
    const rest = { [dkim]: 'missing', [mx]: 'missing', [spf]: 'missing', 'DNS links.mail.acme.test': 'missing' };
    for (const [what, state] of Object.entries({ 'SES identity': 'waiting', 'SES DKIM': 'waiting', ...rest })) {
      assert.equal(waiting.states[what], state, what);
    }
    assert.equal(waiting.details['DNS links.mail.acme.test'], 'it should be a CNAME of track.relay.test');

    publish(zone, records);
    zone['links.mail.acme.test'] = { ...zone['links.mail.acme.test'], A: ['192.0.2.7'] };
    zone[`${token}._domainkey.mail.acme.test`] = { CNAME: ['other.example'] };
    verify(ses, 'mail.acme.test');
    const wrong = await check('mail.acme.test');
    assert.equal(wrong.code, 1);
    assert.deepEqual(
      Object.entries(wrong.states).filter(([, state]) => state !== 'ok' && state !== 'advice'),
      [[dkim, 'missing']],
    );
    assert.equal(wrong.details[dkim], `it should be ${token}.dkim.amazonses.com, but it is other.example`);

    publish(zone, records);
    const complete = await check('mail.acme.test');
    assert.equal(complete.code, 0, JSON.stringify(complete));
    assert.equal((await json('domains', 'list'))[0].status, 'verified');
  });

  it('takes the DMARC record of a domain above, and says where DNS does not know', async t => {
    const { zone, env, run, check } = await start(t, { verifyAtOnce: true });
    env['TRACKING_SECRET'] = 'a secret of sixteen or more';
    zone['_dmarc.acme.test'] = { TXT: ['v=DMARC1; p=reject'] };
    await run('domains', 'add', 'news.acme.test', '--owner', 'acme', '--ses');
    const { states, details } = await check('news.acme.test');
    assert.equal(states['DNS _dmarc.news.acme.test TXT'], 'ok');
    assert.equal(details['DNS _dmarc.news.acme.test TXT'], 'v=DMARC1; p=reject (of _dmarc.acme.test)');
    await run('domains', 'add', 'acme.test', '--owner', 'acme');
    await run('domains', 'set', 'acme.test', '--track-opens', '--tracking-subdomain', 'broken.acme.test');
    assert.equal((await check('acme.test')).states['DNS broken.acme.test'], 'unknown');
    delete env['TRACKING_SECRET'];
    assert.equal((await check('acme.test')).details['tracking'], 'nothing is tracked without TRACKING_SECRET');
  });

  it('knows of the sandbox, and of a configuration set that is not there or lets TLS go', async t => {
    const { run, check } = await start(t, {
      sandbox: true,
      configurationSets: { loose: 'OPTIONAL', strict: 'REQUIRE' },
    });
    await run('domains', 'add', 'acme.test', '--owner', 'acme', '--ses');
    const what = 'SES configuration set';
    const plain = await check('acme.test');
    assert.deepEqual([plain.states['SES account in us-east-1'], plain.states[what]], ['missing', 'advice']);
    for (const [name, state] of [
      ['other', 'missing'],
      ['loose', 'missing'],
      ['strict', 'ok'],
    ] as const) {
      await run('domains', 'set', 'acme.test', '--configuration-set', name, '--tls', 'enforced');
      assert.equal((await check('acme.test')).states[what], state, name);
    }
  });

  it('prints a line for each thing, and its reason to fail, for people', async t => {
    const { run } = await start(t);
    await run('domains', 'add', 'acme.test', '--owner', 'acme', '--ses');
    const { code, stdout, stderr } = await run('domains', 'check', 'acme.test', '--nameserver', '127.0.0.1:1');
    assert.equal(code, 1);
    assert.match(stdout, /^waiting {2}SES identity: not verified yet$/m);
    assert.match(stdout, /^unknown {2}DNS _dmarc\.acme\.test TXT: DNS does not say: /m);
    assert.equal(stderr, 'smtp-relay: acme.test is not complete yet\n');
    assert.equal((await run('domains', 'check', 'other.test')).code, 1);
    assert.equal((await run('domains', 'check', 'acme.test', '--nameserver', 'ns.acme.test')).code, 2);
  });
});

describe('smtp-relay domains set', { concurrency: true }, () => {
  it('changes what is named, and takes away what is set to none', async t => {
    const { run, json } = await start(t);
    await run('domains', 'add', 'acme.test', '--owner', 'acme');
    const set = (...args: string[]) => json('domains', 'set', 'ACME.test', ...args);
    const all = await set(
      '--track-opens',
      '--track-clicks',
      '--tracking-subdomain',
      'Links',
      '--region',
      'eu-west-1',
      '--tls',
      'enforced',
    );
    const { id: _, createdAt: __, ...shown } = all;
    assert.deepEqual(shown, {
      name: 'acme.test',
      owner: 'acme',
      status: 'not_started',
      region: 'eu-west-1',
      trackOpens: true,
      trackClicks: true,
      trackingSubdomain: 'links',
      configurationSet: null,
      tls: 'enforced',
    });
    const less = await set(
      '--no-track-opens',
      '--tracking-subdomain',
      'none',
      '--tls',
      'none',
      '--configuration-set',
      'main',
    );
    assert.deepEqual(less, { ...all, trackOpens: false, trackingSubdomain: null, tls: null, configurationSet: 'main' });
    assert.match((await run('domains', 'set', 'acme.test', '--track-opens')).stdout, /^Track opens: +yes$/m);
  });

  it('says what is wrong', async t => {
    const { run, env } = await start(t);
    await run('domains', 'add', 'acme.test', '--owner', 'acme');
    for (const wrong of [
      [],
      ['--tls', 'maybe'],
      ['--region', 'Frankfurt'],
      ['--configuration-set', 'a b'],
      ['--tracking-subdomain', 'a b'],
    ]) {
      assert.equal((await run('domains', 'set', 'acme.test', ...wrong)).code, 2, wrong.join(' '));
    }
    assert.equal((await run('domains', 'set', 'other.test', '--track-opens')).code, 1);
    env['SMTP_RELAY_DOMAINS_SHARED'] = 'true';
    await run('domains', 'add', 'acme.test', '--owner', 'beta');
    const ambiguous = await run('domains', 'set', 'acme.test', '--track-opens');
    assert.equal(ambiguous.code, 1);
    assert.match(ambiguous.stderr, /name one with --owner: /);
    assert.equal((await run('domains', 'set', 'acme.test', '--track-opens', '--owner', 'beta')).code, 0);
  });
});
