import assert from 'node:assert/strict';
import { createConnection } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import type { MailersResult } from '../support/mailers.ts';
import { type Backing, installBacking } from './support/backing.ts';
import { get, kubectl, kubectlSays } from './support/commands.ts';
import { IMAGE_VALUES } from './support/images.ts';
import { checkLedger, type LedgerOptions } from './support/ledger.ts';
import { apply, createNamespace, hasKind } from './support/namespace.ts';
import { presentedSerial, type Server, serverOf, startMailers } from './support/outside.ts';
import { authority, createClient, productionValues } from './support/production.ts';
import { Release, type Values } from './support/release.ts';

const NAMESPACE = 'smtp-relay-production';
/** Milliseconds that a hundred messages take at most, on a machine that is busy with much else. */
const LOAD_LIMIT = 180_000;
const missing = (await hasKind('certificates.cert-manager.io')) ? false : 'cert-manager is not installed';

/** What a pod that is killed, or has no database, may make a client hear: a connection that ends, or a 4xx. */
const TEMPORARY =
  /socket|ECONNRESET|ECONNREFUSED|EPIPE|[Tt]imeout|closed|^Invalid login: 4\d\d|: 4\d\d |Greeting never received/;

describe('installed for production, under load', { skip: missing }, () => {
  const release = new Release('mail', NAMESPACE);
  // Freed in reverse.
  const parts = new AsyncDisposableStack();
  let backing: Backing;
  let values: Values;
  let server: Server;
  let key: string;

  before(async () => {
    backing = await installBacking(`${NAMESPACE}-backing`);
    parts.defer(() => backing.remove());
    await createNamespace({ after: fn => parts.defer(fn) }, NAMESPACE);
    await apply(NAMESPACE, ...authority());
    key = await createClient(NAMESPACE);
    values = productionValues(backing);
    const took = await release.apply(values);
    parts.defer(() => release.uninstall());
    console.log(`installed after ${Math.round(took / 1000)} s`);
    server = await serverOf(release, NAMESPACE, release.objectName('tls'));
  });

  after(() => parts.disposeAsync());

  /** Applications send while it lasts, and a while before and after. */
  async function underLoad(act: () => Promise<void>): Promise<MailersResult> {
    const mailers = startMailers(server, key);
    try {
      await eventually(() => mailers.accepted > 100, LOAD_LIMIT);
      await act();
      const soFar = mailers.accepted;
      await eventually(() => mailers.accepted > soFar + 100, LOAD_LIMIT);
    } finally {
      await mailers.stop();
    }
    return mailers.stop();
  }

  async function keepsItsPromises(act: () => Promise<void>, options: Partial<LedgerOptions> = {}): Promise<void> {
    await checkLedger(backing.db, await underLoad(act), { delivered: true, ...options });
  }

  it('helm test is green', async () => {
    assert.match(await release.test(), /The message went out by the transport ses, and is sent\./);
  });

  it('sees the address of a client outside through the load balancer', async () => {
    const socket = createConnection(server.port, server.host);
    const [own] = await new Promise<string[]>(resolve =>
      socket.once('connect', () => resolve([socket.localAddress ?? ''])),
    );
    socket.destroy();
    await keepsItsPromises(async () => {});
    const { rows } = await backing.db.query<{ id: string }>('select id from emails order by created_at desc limit 1');
    const logs = await Promise.all((await release.podNames('relay')).map(pod => release.logs(pod)));
    const line = logs
      .join('\n')
      .split('\n')
      .find(text => text.includes(`"emailId":"${rows[0]?.id}"`) && text.includes('"client"'));
    assert.equal(JSON.parse(line ?? '{}').client, own);
  });

  it('an upgrade and its rollback', async () => {
    const first = await release.podNames('relay');
    const revision = await release.revision();
    await keepsItsPromises(async () => {
      await release.apply({ ...values, commonAnnotations: { 'acme.test/release': 'next' } });
      const second = await release.podNames('relay');
      assert.ok(second.length === 2 && !second.some(name => first.includes(name)), 'other pods');
      await release.rollback(revision);
      const third = await release.podNames('relay');
      assert.ok(!third.some(name => second.includes(name)), 'other pods again');
    });
  });

  it('an upgrade that cannot work is taken back by itself', async () => {
    const pods = await release.podNames('relay');
    await keepsItsPromises(async () => {
      const { image } = IMAGE_VALUES;
      const broken = release.apply(
        { ...values, image: { ...image, tag: 'nonexistent' } },
        '--atomic',
        '--timeout',
        '30s',
      );
      await assert.rejects(broken, /rolled back/);
      await release.settled();
    });
    assert.deepEqual(await release.podNames('relay'), pods);
  });

  it('a change of the configuration is taken up by the pods that run, and they stay', async () => {
    const pods = await release.podNames('relay');
    const generation = await release.metric(pods[0] ?? '', 'smtp_relay_config_generation');
    await keepsItsPromises(async () => {
      const { config } = values as { config: Values };
      await release.apply({ ...values, config: { ...config, limits: { recipients: 7 } } });
      for (const pod of pods) {
        await eventually(async () => {
          if ((await release.metric(pod, 'smtp_relay_config_generation')) > generation) return true;
          await sleep(1_000);
          return false;
        }, 150_000);
      }
    });
    assert.deepEqual(await release.podNames('relay'), pods);
    await release.apply(values);
  });

  it('a certificate that cert-manager renews', async t => {
    const pods = await release.podNames('relay');
    const before = await presentedSerial(t, server);
    await keepsItsPromises(async () => {
      await renew(release.objectName('tls'));
      // The kubelet looks at Secrets about once a minute.
      await eventually(async () => {
        if ((await presentedSerial(t, server)) !== before) return true;
        await sleep(1_000);
        return false;
      }, 150_000);
    });
    assert.deepEqual(await release.podNames('relay'), pods);
  });

  it('scaled from two pods to one, to three and to one', async () => {
    await keepsItsPromises(async () => {
      for (const count of [1, 3, 1, 2]) {
        await kubectl(['-n', NAMESPACE, 'scale', `deployment/${release.objectName('relay')}`, `--replicas=${count}`]);
        await release.scaledTo('relay', count);
      }
    });
  });

  it('a node is drained: the budget keeps a pod, and service goes on', async () => {
    const node = (await release.pods('relay'))[0]?.spec.nodeName as string;
    const selector = 'app.kubernetes.io/component=relay';
    await keepsItsPromises(async () => {
      try {
        const said = await kubectlSays([
          'drain',
          node,
          `--pod-selector=${selector}`,
          '--ignore-daemonsets',
          '--delete-emptydir-data',
          '--timeout=45s',
        ]);
        const { items } = await get<{ items: unknown[] }>(['nodes']);
        if (items.length === 1) assert.match(said, /would violate the pod's disruption budget/);
      } finally {
        await kubectl(['uncordon', node]);
      }
      await release.settled();
    });
  });

  it('a pod is killed', async () => {
    await keepsItsPromises(
      async () => {
        const [victim = ''] = await release.podNames('relay');
        await kubectl(['-n', NAMESPACE, 'delete', 'pod', victim, '--grace-period=0', '--force']);
        await release.settled();
      },
      { mayFail: TEMPORARY },
    );
  });

  it('the database is away for a minute', async () => {
    const pods = await release.podNames('relay');
    await keepsItsPromises(() => backing.withoutDatabase(() => sleep(60_000)), { mayFail: TEMPORARY });
    const restarts = (await release.pods('relay')).map(({ status }) => status.containerStatuses[0].restartCount);
    assert.deepEqual(restarts, [0, 0]);
    assert.deepEqual(await release.podNames('relay'), pods);
  });

  it('runs the same with network policies', async () => {
    const policies = { networkPolicy: { enabled: true } };
    await keepsItsPromises(async () => void (await release.apply({ ...values, ...policies })));
    assert.match(await release.test(), /The message went out by the transport ses, and is sent\./);
    await release.apply(values);
  });

  it('a wrong value is refused with a sentence that names it, and nothing changes', async () => {
    const pods = await release.podNames('relay');
    const { config } = values as { config: Values };
    const refused = await release
      .apply({ ...values, config: { ...config, logLevel: 'loud' } })
      .catch((error: Error) => error.message);
    assert.match(String(refused), /logLevel/);
    assert.match(String(refused), /fatal|error|warn|info/, 'what may be written');
    assert.deepEqual(await release.podNames('relay'), pods);
  });

  it('SES has got what was sent, each once', async () => {
    const { rows } = await backing.db.query("select count(*)::integer as sent from emails where status = 'sent'");
    assert.equal(await backing.sent(), rows[0].sent);
  });

  /** What `cmctl renew` does. */
  async function renew(certificate: string): Promise<void> {
    const condition = {
      type: 'Issuing',
      status: 'True',
      reason: 'ManuallyTriggered',
      message: 'by a test',
      lastTransitionTime: new Date().toISOString(),
    };
    const { status } = await get([`certificate/${certificate}`, '-n', NAMESPACE]);
    const conditions = [...status.conditions.filter((one: { type: string }) => one.type !== 'Issuing'), condition];
    const patch = JSON.stringify({ status: { conditions } });
    await kubectl([
      '-n',
      NAMESPACE,
      'patch',
      'certificate',
      certificate,
      '--subresource=status',
      '--type=merge',
      '-p',
      patch,
    ]);
  }
});
