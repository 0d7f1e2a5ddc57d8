import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { createNameFiles, createSystemResolve } from '../../src/webhooks/resolver.ts';
import { eventually } from '../support/eventually.ts';
import { startNameServer } from './name-server.ts';
import { startReceiver } from './receiver.ts';
import { createSystem } from './system.ts';

async function createFiles(t: TestContext, { hosts = '', resolvConf = '' } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'names-'));
  t.after(() => rm(folder, { recursive: true }));
  const paths = { hosts: join(folder, 'hosts'), resolvConf: join(folder, 'resolv.conf') };
  await writeFile(paths.hosts, hosts);
  await writeFile(paths.resolvConf, resolvConf);
  return { ...paths, files: createNameFiles(paths) };
}

describe('names of endpoints', { concurrency: true }, () => {
  it('that do not answer hold up no other', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    const server = await startNameServer(t, name => (name.startsWith('dead') ? undefined : '127.0.0.1'));
    const { port } = new URL(receiver.url);
    for (let count = 0; count < 6; count += 1) await system.endpoint(`http://dead${count}.test:${port}/`);
    const good = await system.endpoint(`http://good.test:${port}/`);
    await system.events();
    // The dead names go on not answering for longer than the test may take.
    const { files } = await createFiles(t);
    const resolve = createSystemResolve({ servers: [server.address], files, timeout: 600_000 });
    const dispatcher = system.dispatcher({ timeout: 600_000 }, { resolve });
    await eventually(() => server.asked.filter(name => name.startsWith('dead')).length >= 12);
    await eventually(async () => (await system.deliveries(good.id))[0]?.status === 'success');
    assert.equal(receiver.received[0]?.headers.host, `good.test:${port}`);
    await dispatcher.stop(0);
  });

  it('are those of the hosts file, else those of the name servers', async t => {
    const server = await startNameServer(t, name => (name === 'a.test' ? '192.0.2.7' : null));
    const { files } = await createFiles(t, {
      hosts: '# names\n127.0.0.1\tlocalhost Hook.test # ours\n::1 localhost\nno.address broken.test\n',
    });
    const resolve = createSystemResolve({ servers: [server.address], files });
    const local = [{ address: '127.0.0.1', family: 4 }];
    assert.deepEqual(await resolve('hook.test'), local);
    assert.deepEqual(await resolve('HOOK.test.'), local);
    assert.deepEqual(await resolve('localhost'), [...local, { address: '::1', family: 6 }]);
    assert.deepEqual(server.asked, []);
    assert.deepEqual(await resolve('a.test'), [{ address: '192.0.2.7', family: 4 }]);
    await assert.rejects(resolve('broken.test'), { code: 'ENOTFOUND' });
  });

  it('are looked for in the search domains where they are short and nothing as they are', async t => {
    const server = await startNameServer(t, name =>
      /^hook\.apps\.svc\.example$|^b\.test$/.test(name) ? '192.0.2.8' : null,
    );
    const resolvConf = 'search no.example\nsearch apps.svc.example svc.example.\noptions timeout:1 ndots:2\n';
    const { files } = await createFiles(t, { resolvConf });
    const resolve = createSystemResolve({ servers: [server.address], files });
    const found = [{ address: '192.0.2.8', family: 4 }];
    for (const name of ['hook', 'hook.apps', 'b.test']) assert.deepEqual(await resolve(name), found, name);
    for (const name of ['hook.', 'hook.apps.svc']) await assert.rejects(resolve(name), { code: 'ENOTFOUND' }, name);
    const asked = server.asked.filter((name, index) => server.asked.indexOf(name) === index);
    assert.deepEqual(asked, [
      'hook',
      'hook.apps.svc.example',
      'hook.apps',
      'hook.apps.apps.svc.example',
      'b.test',
      'hook.apps.svc',
    ]);
  });

  it('are found anew when the files change, and without files', async t => {
    const { hosts } = await createFiles(t, { hosts: '192.0.2.1 a.test\n' });
    let time = 0;
    const files = createNameFiles({ hosts, resolvConf: `${hosts}.none`, now: () => time });
    assert.deepEqual(files().addressesOf('a.test'), ['192.0.2.1']);
    await writeFile(hosts, '192.0.2.2 a.test\n');
    assert.deepEqual(files().addressesOf('a.test'), ['192.0.2.1']);
    time += 6_000;
    assert.deepEqual(files().addressesOf('a.test'), ['192.0.2.2']);
    assert.deepEqual([files().searchDomains, files().shortBelow], [[], 1]);
  });

  it('that no server answers are given up', async t => {
    const server = await startNameServer(t, () => undefined);
    const { files } = await createFiles(t);
    const resolve = createSystemResolve({ servers: [server.address], files, timeout: 50 });
    await assert.rejects(resolve('dead.test'), { code: 'ETIMEOUT' });
  });
});
