import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Backing, installBacking } from './support/backing.ts';
import { get, type KubernetesList, kubectl } from './support/commands.ts';
import { IMAGE_VALUES } from './support/images.ts';
import { createNamespace } from './support/namespace.ts';
import { frugal } from './support/production.ts';
import { type Values, WAYS } from './support/ways.ts';

/** Another image that has the program: that of the demo's Postgres is made on top of the relay's. */
const OTHER_TAG = `${IMAGE_VALUES.image.tag}-demo`;
const RELEASE = 'app.kubernetes.io/instance=demo';

describe('one version after the other', () => {
  // Freed in reverse.
  const parts = new AsyncDisposableStack();
  let backing: Backing;

  before(async () => {
    backing = await installBacking('smtp-relay-versions-backing');
    parts.defer(() => backing.remove());
  });

  after(() => parts.disposeAsync());

  const values = (tag: string): Values => ({
    image: { ...IMAGE_VALUES.image, tag },
    pipeline: 'standalone',
    tls: { mode: 'none' },
    config: { hostname: 'smtp.acme.test' },
    secrets: { databaseUrl: { value: backing.databaseUrl } },
    ...frugal,
  });

  for (const way of WAYS) {
    it(`by ${way.name}: each migrates, and all pods are of the newest`, { skip: way.missing }, async t => {
      const mine = new AsyncDisposableStack();
      t.after(() => mine.disposeAsync());
      const namespace = await createNamespace({ after: fn => mine.defer(fn) }, `smtp-relay-versions-${way.id}`);
      mine.defer(() => way.remove(namespace));
      for (const tag of [IMAGE_VALUES.image.tag, OTHER_TAG, OTHER_TAG]) {
        await way.apply(namespace, values(tag));
        assert.deepEqual(await tags(namespace), [tag]);
      }
      // Helm removes what has succeeded.
      if (!way.prunes) {
        await kubectl(['-n', namespace, 'wait', 'job', '-l', RELEASE, '--for=condition=Complete', '--timeout=120s']);
        assert.equal((await list('jobs', namespace)).length, 2, 'one for each version');
      }
      if (!way.rollback) return;
      await way.rollback(namespace, 1);
      assert.deepEqual(await tags(namespace), [IMAGE_VALUES.image.tag]);
    });
  }
});

/** Of the images of relay and worker. */
async function tags(namespace: string): Promise<string[]> {
  const pods = await list('pods', namespace, ',app.kubernetes.io/component in (relay,worker)');
  const images = pods
    .filter(({ metadata }) => !metadata.deletionTimestamp)
    .map(({ spec }) => spec.containers[0].image as string);
  return [...new Set(images.map(image => image.split(':').at(-1) ?? ''))];
}

async function list(kind: string, namespace: string, more = '') {
  return (await get<KubernetesList>([kind, '-n', namespace, '-l', `${RELEASE}${more}`])).items;
}
