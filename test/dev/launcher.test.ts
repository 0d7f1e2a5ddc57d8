import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../../bin', import.meta.url));
const OLD_NODE = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.19.0' } })`;
const AS_OLD_NODE = ['--import', `data:text/javascript,${encodeURIComponent(OLD_NODE)}`];

/** A project that holds the launcher and one program, started as `node <flags> bin/smtp-relay.js`. */
async function project(t: TestContext, program: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'smtp-relay-launcher-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  await cp(BIN, join(directory, 'bin'), { recursive: true });
  await mkdir(join(directory, 'src'));
  await writeFile(join(directory, 'package.json'), '{"type":"module"}');
  await writeFile(join(directory, 'src/main.ts'), program);
  return directory;
}

async function bringNode(directory: string): Promise<void> {
  await mkdir(join(directory, 'node_modules/node/bin'), { recursive: true });
  await symlink(execPath, join(directory, 'node_modules/node/bin/node'));
}

const ECHO = `import { argv } from 'node:process'; const args: string[] = argv.slice(2); console.log(JSON.stringify(args)); process.exitCode = 7;`;

for (const flags of [[], AS_OLD_NODE]) {
  const title = flags.length > 0 ? 'an older Node, with the one that the project brings' : 'a recent Node';
  test(`arguments and exit code pass through ${title}`, async t => {
    const directory = await project(t, ECHO);
    await bringNode(directory);
    const args = [...flags, join(directory, 'bin/smtp-relay.js'), 'a b', '', "c'd"];
    const { status, stdout, stderr } = spawnSync(execPath, args, { encoding: 'utf8' });
    assert.deepEqual([status, stdout, stderr], [7, `["a b","","c'd"]\n`, '']);
  });

  test(`SIGTERM stops the program, which chooses the exit code, on ${title}`, async t => {
    const directory = await project(
      t,
      `process.on('SIGTERM', () => process.exit(9)); setInterval(() => {}, 1e6); console.log('up');`,
    );
    await bringNode(directory);
    const child = spawn(execPath, [...flags, join(directory, 'bin/smtp-relay.js')]);
    await once(child.stdout, 'data');
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [9, null]);
  });
}

test('ends by the signal that ended the program', async t => {
  const directory = await project(t, `process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1e6);`);
  await bringNode(directory);
  const child = spawn(execPath, [...AS_OLD_NODE, join(directory, 'bin/smtp-relay.js')]);
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGTERM']);
});

test('without a recent Node one sentence says what to do', async t => {
  const directory = await project(t, ECHO);
  const args = [...AS_OLD_NODE, join(directory, 'bin/smtp-relay.js')];
  const { status, stdout, stderr } = spawnSync(execPath, args, { encoding: 'utf8' });
  assert.equal(status, 1);
  assert.equal(stdout, '');
  assert.match(stderr, /^smtp-relay: this needs Node 24\.12 or later and runs on 20\.19\.0: .*npm ci.*\n$/);
});
