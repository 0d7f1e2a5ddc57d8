import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TRANSPORT_KINDS } from '../../src/config/transports/list.ts';
import type { Transport } from '../../src/delivery/transport/contract.ts';
import { createRoutes, createTransports, type TransportFactories } from '../../src/delivery/transport/routes.ts';
import { NO_TRACING } from '../../src/observability/tracing.ts';
import { load } from '../config/support/fixtures.ts';
import { never, outgoing } from './support/smarthost.ts';

const ROUTES = [
  { domains: ['acme.com', '*.acme.com'], transport: 'smtp', name: 'acme', smtp: { host: 'smtp.acme.com', port: 25 } },
  { domains: ['*.example'], transport: 'capture', capture: { directory: 'examples' } },
  { domains: ['bücher.example', 'late.acme.com'], transport: 'ses' },
  { domains: ['eu.test'], transport: 'ses', ses: { region: 'eu-west-1', sendRate: 3 } },
  { domains: ['other.test'], transport: 'smtp', smtp: { connections: 3 } },
  { domains: ['same.test'], transport: 'smtp', smtp: { host: 'smtp.acme.com', port: 25 } },
  { domains: ['file.test'], transport: 'smtp', smtp: { user: 'me', passwordFile: '/run/secrets/smtp' } },
];

function config(env: NodeJS.ProcessEnv = {}) {
  return load({
    SMTP_RELAY_ROUTES: JSON.stringify(ROUTES),
    SMTP_RELAY_SMTP_HOST: 'general.test',
    SMTP_RELAY_SMTP_USER: 'user',
    SMTP_RELAY_SMTP_PASSWORD: 'secret',
    SMTP_RELAY_SES_CONFIGURATION_SET: 'events',
    ...env,
  }).config;
}

/** How each kind of transport is made. */
function factoriesOf(make: (kind: Transport['kind']) => (settings: object) => Transport): TransportFactories {
  return Object.fromEntries(TRANSPORT_KINDS.map(kind => [kind, make(kind)])) as unknown as TransportFactories;
}

/** This one is SES, and no other is asked for. */
function only(transport: Transport): TransportFactories {
  return factoriesOf(kind => () => (kind === 'ses' ? transport : assert.fail(`${kind} is not asked for`)));
}

/** A span of nothing. */
const NOTHING = NO_TRACING.start('nothing', { kind: 'client' });

describe('routes', () => {
  const { routeFor } = createRoutes(config());
  const names: Readonly<Record<string, string>> = {
    'acme.com': 'acme',
    'ACME.com': 'acme',
    'mail.acme.com': 'acme',
    'a.b.acme.com': 'acme',
    'late.acme.com': 'acme',
    'notacme.com': 'default',
    'acme.com.evil.test': 'default',
    'xn--bcher-kva.example': 'route-2',
    'bücher.example': 'route-2',
    example: 'default',
    'eu.test': 'route-4',
    'elsewhere.test': 'default',
  };
  for (const [domain, name] of Object.entries(names)) {
    it(`${domain} goes by ${name}`, () => assert.equal(routeFor(domain).name, name));
  }

  it('take what they leave out from the settings of their transport', () => {
    const { ses } = config();
    assert.deepEqual(routeFor('eu.test').settings, { ...ses, region: 'eu-west-1', sendRate: 3 });
    assert.equal(ses.configurationSet, 'events');
    const { settings } = routeFor('other.test');
    assert.deepEqual(settings, { ...config().smtp, connections: 3, passwordFile: '' });
  });

  it("put their own region above the domain's, and only that", async () => {
    const seen: unknown[] = [];
    const ses: Transport = {
      kind: 'ses',
      maxRecipients: 50,
      admit: async (_recipients, _signal, { domain }) => void seen.push(domain?.region),
      send: async ({ domain }) => {
        seen.push(domain);
        return [];
      },
      close: async () => {},
    };
    const transports = createTransports(() => createRoutes(config()), only(ses));
    const domain = { name: 'eu.test', region: 'us-east-1', configurationSet: 'own', tls: null };
    await transports.transportFor('eu.test').admit?.(1, never, { domain });
    await transports.transportFor('eu.test').send(outgoing({ domain }), never);
    await transports.transportFor('eu.test').send(outgoing(), never);
    await transports.transportFor('elsewhere.test').send(outgoing({ domain }), never);
    assert.deepEqual(seen, ['eu-west-1', { ...domain, region: 'eu-west-1' }, null, domain]);
  });

  it('with a region of their own forget no member of a transport, and no argument', async () => {
    const told: unknown[][] = [];
    const note = async (...values: unknown[]) => void told.push(values);
    // Complete by its type: a member that is added to the interface has to be added here.
    const members: { readonly [name in keyof Required<Transport>]: unknown } = {
      kind: 'ses',
      maxRecipients: 50,
      calls: 4,
      region: note,
      part: note,
      admit: note,
      allowance: note,
      preview: note,
      send: note,
      close: note,
    };
    const factories = only(members as unknown as Transport);
    const pinned = createTransports(() => createRoutes(config()), factories).transportFor('eu.test');
    for (const [name, member] of Object.entries(members)) {
      const own: unknown = Reflect.get(pinned, name);
      if (typeof member !== 'function') assert.equal(own, member);
      else await (own as typeof note).call(pinned, name, never, NOTHING, 4, 5);
    }
    assert.deepEqual(
      told,
      ['region', 'part', 'admit', 'allowance', 'preview', 'send', 'close'].map(name => [name, never, NOTHING, 4, 5]),
    );
  });

  it('give the password of one smarthost to no other', () => {
    const route = routeFor('acme.com');
    assert.ok(route.transport === 'smtp');
    assert.deepEqual([route.settings.host, route.settings.user, route.settings.password], ['smtp.acme.com', '', '']);
    const withFile = routeFor('file.test');
    assert.ok(withFile.transport === 'smtp');
    assert.deepEqual([withFile.settings.password, withFile.settings.passwordFile], ['', '/run/secrets/smtp']);
  });
});

describe('transports', () => {
  function track(kind: Transport['kind'], made: string[], closed: string[]): (settings: object) => Transport {
    return settings => {
      const name = `${kind} ${JSON.stringify(settings)}`;
      made.push(name);
      return { kind, maxRecipients: 1, send: async () => [], close: async () => void closed.push(name) };
    };
  }

  it('are made when they are needed, once for settings that are the same, and closed together', async () => {
    const made: string[] = [];
    const closed: string[] = [];
    const factories = factoriesOf(kind => track(kind, made, closed));
    const transports = createTransports(() => createRoutes(config()), factories);
    assert.equal(made.length, 0);
    const acme = transports.transportFor('acme.com');
    assert.equal(transports.transportFor('x.acme.com'), acme);
    assert.equal(transports.transportFor('same.test'), acme);
    assert.equal(made.length, 1);
    assert.equal(transports.transportFor('a.example').kind, 'capture');
    assert.equal(transports.transportFor('elsewhere.test').kind, 'ses');
    assert.notEqual(transports.transportFor('eu.test'), transports.transportFor('elsewhere.test'));
    await transports.close();
    assert.equal(made.length, 4);
    assert.deepEqual(closed.sort(), made.sort());
  });
});
