import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { linesFor } from '../docs/who-runs.ts';
import { installBacking } from './support/backing.ts';
import { kubectlSays } from './support/commands.ts';
import { createNamespace } from './support/namespace.ts';
import { frugal } from './support/production.ts';
import { Release, type Values } from './support/release.ts';

const NAMESPACE = 'smtp-relay-migrations';
/** Far below the job's own deadline, and below what four tries take. */
const AT_ONCE = 90_000;

describe('a migration that cannot succeed', () => {
  it('fails at once, and Helm prints the reason', async t => {
    // Freed in reverse.
    const parts = new AsyncDisposableStack();
    t.after(() => parts.disposeAsync());
    const backing = await installBacking(`${NAMESPACE}-backing`);
    parts.defer(() => backing.remove());
    await createNamespace({ after: fn => parts.defer(fn) }, NAMESPACE);

    const wrong = backing.databaseUrl.replace('//postgres:', '//postgres:wrong-');
    const cases: Readonly<Record<string, readonly [Values, RegExp]>> = {
      'a wrong password': [{ value: wrong }, /refuses the login: password authentication failed/],
      'a database that is not there': [
        { value: backing.databaseUrl.replace(/\/postgres$/, '/nowhere') },
        /refuses the login: database "nowhere" does not exist/,
      ],
      'a Secret that is not there': [{ existingSecret: 'nowhere' }, /set .*DATABASE_URL/],
    };
    for (const [what, [databaseUrl, reason]] of Object.entries(cases)) {
      const values = { pipeline: 'standalone', tls: { mode: 'none' }, secrets: { databaseUrl }, ...frugal };
      const began = performance.now();
      const said = await new Release(what.replaceAll(' ', '-').slice(-20).replace(/^-/, ''), NAMESPACE)
        .apply(values)
        .then(
          () => assert.fail(`${what}: it was installed`),
          (error: Error & { stdout?: string }) => `${error.message}\n${error.stdout ?? ''}`,
        );
      const took = performance.now() - began;
      console.log(`${what}: failed after ${Math.round(took / 1000)} s`);
      assert.match(said, reason, what);
      assert.ok(took < AT_ONCE, `${what}: ${took} ms`);
    }
    // The last one's pod never ran; those before it say why they ended.
    for (const { line } of linesFor('test/cluster/migrations.scenario.ts')) {
      const [program, ...args] = line.split(' ');
      assert.equal(program, 'kubectl');
      assert.match(await kubectlSays(['-n', NAMESPACE, ...args]), /refuses the login/, line);
    }
  });
});
