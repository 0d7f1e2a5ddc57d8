import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { routes } from '../../src/config/formats/routes.ts';
import { renderEffective } from '../../src/config/reference.ts';
import { load, loadError, onlyProblem, writeFiles } from './support/fixtures.ts';

const YAML = `
routes:
  - domains: [acme.com, "*.acme.com"]
    name: acme
    transport: smtp
    smtp:
      host: smtp.acme.com
      port: 465
      security: tls
      user: relay@acme.com
      password: 12345
      timeout: 30s
  - domains:
      - Bücher.example
    transport: ses
    ses: { region: eu-west-1, sendRate: 5 }
`;

const READ = [
  {
    domains: ['acme.com', '*.acme.com'],
    transport: 'smtp',
    name: 'acme',
    smtp: {
      host: 'smtp.acme.com',
      port: 465,
      security: 'tls',
      user: 'relay@acme.com',
      password: '12345',
      timeout: 30_000,
    },
  },
  { domains: ['xn--bcher-kva.example'], transport: 'ses', ses: { region: 'eu-west-1', sendRate: 5 } },
];

function fromYaml(t: TestContext, text: string): NodeJS.ProcessEnv {
  return { SMTP_RELAY_CONFIG: writeFiles(t, { 'relay.yaml': text }) };
}

function fromJson(value: unknown): NodeJS.ProcessEnv {
  return { SMTP_RELAY_ROUTES: JSON.stringify(value) };
}

const ACME = { domains: ['acme.com'], transport: 'smtp' };

describe('routes', () => {
  it('are written in a file as YAML', t => {
    assert.deepEqual(load(fromYaml(t, YAML)).config.routes, READ);
  });

  it('are written in the environment as JSON', () => {
    const [acme, buecher] = READ;
    const env = fromJson([{ ...acme, smtp: { ...acme?.smtp, timeout: '30s' } }, buecher]);
    assert.deepEqual(load(env).config.routes, READ);
  });

  it('may stand in a file of secrets', t => {
    const directory = writeFiles(t, { SMTP_RELAY_ROUTES: JSON.stringify([{ ...ACME, smtp: { host: 'localhost' } }]) });
    const [route] = load({ SMTP_RELAY_SECRETS_DIR: directory }).config.routes;
    assert.deepEqual(route?.smtp, { host: 'localhost' });
  });

  it('can be written as they were read', t => {
    const { config } = load(fromYaml(t, YAML));
    assert.deepEqual(routes.parse(routes.print(config.routes)), READ);
    assert.equal(routes.print([]), '');
  });

  it('resolve aliases, and leave out keys without a value', t => {
    const text = `
routes:
  - { domains: [a.test], transport: smtp, name: , smtp: &host { host: mx.example.com } }
  - { domains: [b.test], transport: smtp, smtp: *host }`;
    const smtp = { host: 'mx.example.com' };
    const { routes: read } = load(fromYaml(t, text)).config;
    assert.deepEqual(
      read.map(({ smtp }) => smtp),
      [smtp, smtp],
    );
    assert.equal(read[0]?.name, undefined);
  });

  it('are shown without passwords', t => {
    const shown = renderEffective(load(fromYaml(t, YAML))).find(({ name }) => name === 'routes')?.value ?? '';
    assert.ok(!shown.includes('12345'), shown);
    assert.ok(shown.includes('"password":"***"') && shown.includes('"user":"relay@acme.com"'), shown);
  });

  it('are shown without the credentials of an endpoint', () => {
    const env = fromJson([{ domains: ['a.test'], transport: 'ses', ses: { endpoint: 'http://me:secret@ses.test' } }]);
    const shown = renderEffective(load(env)).find(({ name }) => name === 'routes')?.value ?? '';
    assert.ok(!shown.includes('secret') && shown.includes('ses.test'), shown);
  });

  const wrong: readonly (readonly [what: string, value: unknown, place: RegExp])[] = [
    ['a group in place of the list', { acme: ACME }, /routes is not a list/],
    ['a text in place of a route', ['acme.com'], /routes\[0\] is not a group of keys/],
    ['no domains', [{ transport: 'ses' }], /routes\[0\]\.domains is not a list/],
    ['an empty list of domains', [{ domains: [], transport: 'ses' }], /routes\[0\]\.domains is not a list/],
    ['one domain without a list', [{ ...ACME, domains: 'acme.com' }], /routes\[0\]\.domains is not a list/],
    ['a wildcard in the middle', [{ ...ACME, domains: ['a.*.com'] }], /routes\[0\]\.domains\[0\] is neither/],
    ['a bare wildcard', [{ ...ACME, domains: ['acme.com', '*'] }], /routes\[0\]\.domains\[1\] is neither/],
    ['an address for a domain', [{ ...ACME, domains: ['a@acme.com'] }], /routes\[0\]\.domains\[0\] is neither/],
    ['no transport', [{ domains: ['acme.com'] }], /routes\[0\]\.transport is missing/],
    ['an unknown transport', [{ ...ACME, transport: 'lmtp' }], /routes\[0\]\.transport is not one of/],
    ['an unknown key', [{ ...ACME, nmae: 'x' }], /routes\[0\]\.nmae does not exist \(is name meant\?\)/],
    ['an unknown key further in', [ACME, { ...ACME, smtp: { hots: 'x' } }], /routes\[1\]\.smtp\.hots does not exist/],
    ['a port out of range', [ACME, { ...ACME, smtp: { port: 70_000 } }], /routes\[1\]\.smtp\.port is more than 65535/],
    ['a port of the wrong type', [{ ...ACME, smtp: { port: true } }], /routes\[0\]\.smtp\.port is of the wrong type/],
    ['a number for a text', [{ ...ACME, smtp: { host: 5 } }], /routes\[0\]\.smtp\.host is of the wrong type/],
    ['a list for a text', [{ ...ACME, smtp: { host: ['a'] } }], /routes\[0\]\.smtp\.host is of the wrong type/],
    ['a time without unit', [{ ...ACME, smtp: { timeout: '30' } }], /routes\[0\]\.smtp\.timeout has no unit/],
    ['a group of another transport', [{ ...ACME, ses: {} }], /routes\[0\]\.ses has no meaning where transport is smtp/],
    [
      'two passwords',
      [{ ...ACME, smtp: { password: 'secret', passwordFile: '/x' } }],
      /smtp\.password and routes\[0\]\.smtp\.passwordFile are both set/,
    ],
    [
      'two routes of one name',
      [
        { ...ACME, name: 'a' },
        { ...ACME, name: 'a' },
      ],
      /routes\[1\]\.name is the name of another/,
    ],
    ['the name of the default route', [{ ...ACME, name: 'default' }], /routes\[0\]\.name is the name of another/],
  ];
  for (const [what, value, place] of wrong) {
    it(`name the place of ${what}`, () => {
      const { setting, why } = onlyProblem(fromJson(value));
      assert.equal(setting, 'routes');
      assert.match(why, place);
      assert.ok(!why.includes('secret"'), why);
    });
  }

  it('name all that is wrong at once', () => {
    const { why } = onlyProblem(
      fromJson([
        { ...ACME, name: 'ä' },
        { domains: ['b.test'], transport: 'x' },
      ]),
    );
    assert.match(why, /routes\[0\]\.name .*; routes\[1\]\.transport /);
  });

  it('never print a secret in a problem', () => {
    for (const text of [
      '[{"smtp":{"password":"s3cret"',
      JSON.stringify([{ ...ACME, smtp: { password: ['s3cret'] } }]),
    ]) {
      assert.doesNotMatch(loadError({ SMTP_RELAY_ROUTES: text }).message, /s3cret/);
    }
  });

  it('name keys that stand twice in a file', t => {
    const text = 'routes:\n  - domains: [a.test]\n    transport: ses\n    transport: smtp\n';
    const { setting, why } = onlyProblem(fromYaml(t, text));
    assert.equal(setting, 'routes[0].transport');
    assert.match(why, /twice/);
  });

  it('cannot hold themselves', t => {
    const text = 'routes: &all\n  - *all\n';
    assert.match(loadError(fromYaml(t, text)).message, /nested too deeply|not a group/);
  });

  it('need a smarthost for the transport smtp, where they are used', () => {
    const standalone = { SMTP_RELAY_PIPELINE: 'standalone' };
    assert.match(onlyProblem({ ...standalone, ...fromJson([ACME]) }).why, /routes\[0\] has no smarthost/);
    assert.match(onlyProblem({ ...standalone, SMTP_RELAY_TRANSPORT: 'smtp' }).why, /no smarthost/);
    load(fromJson([ACME]));
    load({ ...standalone, ...fromJson([ACME]), SMTP_RELAY_SMTP_HOST: '192.0.2.1' });
  });
});
