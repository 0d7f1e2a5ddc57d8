import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import { portProblem } from '../../dev/ports.ts';
import { eventually } from '../support/eventually.ts';
import { needs } from '../support/needs.ts';
import { type DevProcess, freePorts, PORT_VARIABLES, startDev, stateDirectory } from './start-dev.ts';

const run = promisify(execFile);
const READY = /Ctrl-C stops everything/;

/** The line of the output that begins with this program's command. */
function command(dev: DevProcess, program: string): string {
  const line = dev
    .output()
    .split('\n')
    .find(text => text.startsWith(program) || text.includes(` | ${program} `));
  assert.ok(line, `no command for ${program} in:\n${dev.output()}`);
  return line;
}

async function assertAllFree(variables: Record<string, string>): Promise<void> {
  for (const [name, port] of Object.entries(variables)) {
    assert.equal(await eventually(async () => (await portProblem(Number(port))) ?? 'free'), 'free', name);
  }
}

suite('dev', { concurrency: 2 }, () => {
  test('each printed command sends a message that is shown as accepted and as sent', {
    skip: needs('python3', 'curl'),
  }, async t => {
    const dev = startDev(t, await stateDirectory(t), await freePorts());
    await dev.waitFor(READY);
    const programs = needs('swaks') ? ['curl', 'node', 'python3'] : ['swaks', 'node', 'python3'];
    for (const program of programs) {
      await run('/bin/sh', ['-c', command(dev, program)], { timeout: 120_000, cwd: '/' });
    }
    for (const subject of [needs('swaks') ? 'curl' : 'swaks', 'Nodemailer', 'Python']) {
      const [, id] = await dev.waitFor(
        new RegExp(`(\\w{8}) {2}accepted {4}hello@demo\\.test -> you@example\\.com {2}"Hello from ${subject}"`),
      );
      const [, file = ''] = await dev.waitFor(new RegExp(`${id} {2}sent +(\\S+\\.eml)`));
      assert.match(await readFile(file, 'utf8'), new RegExp(`^Subject: Hello from ${subject}\r$`, 'm'));
    }
  });

  test('a second start keeps the key; Ctrl-C and SIGTERM leave nothing behind', async t => {
    const directory = await stateDirectory(t);
    const variables = await freePorts();
    const password = /Password +(os_live_\w+)/;
    const first = startDev(t, directory, variables);
    await first.waitFor(READY);
    const key = password.exec(first.output())?.[1];
    assert.equal(await first.end('SIGINT'), 0);
    await assertAllFree(variables);
    const second = startDev(t, directory, variables);
    await second.waitFor(READY);
    assert.equal(password.exec(second.output())?.[1], key);
    assert.equal(await second.end('SIGTERM'), 0);
    await assertAllFree(variables);
  });

  test('one at a time; but one that was killed is in nobody’s way', async t => {
    const directory = await stateDirectory(t);
    const variables = await freePorts();
    const first = startDev(t, directory, variables);
    await first.waitFor(READY);
    const second = startDev(t, directory, await freePorts());
    await assert.rejects(second.waitFor(READY), /runs already, as process \d+/);
    await first.end('SIGKILL');
    const third = startDev(t, directory, await freePorts());
    await third.waitFor(READY);
  });

  test('in the pipeline of OpenSend the relay runs alone', { skip: needs('python3') }, async t => {
    const dev = startDev(t, await stateDirectory(t), { ...(await freePorts()), SMTP_RELAY_PIPELINE: 'opensend' });
    await dev.waitFor(READY);
    assert.match(dev.output(), /^Messages stay queued: the worker of OpenSend delivers them\.$/m);
    await run('/bin/sh', ['-c', command(dev, 'python3')], { timeout: 120_000, cwd: '/' });
    await dev.waitFor(/ {2}accepted {4}hello@demo\.test -> you@example\.com {2}"Hello from Python"/);
    assert.equal(await dev.end('SIGTERM'), 0);
    assert.doesNotMatch(dev.output(), / {2}sent {2}/);
  });

  test('each taken port is told, with the variable to set', async t => {
    const variables = await freePorts();
    for (const port of Object.values(variables)) {
      const holder = createServer().listen(Number(port), '127.0.0.1');
      t.after(async () => void holder.close());
      await once(holder, 'listening');
    }
    const dev = startDev(t, await stateDirectory(t), variables);
    await assert.rejects(dev.waitFor(READY));
    assert.equal(await dev.end('SIGTERM'), 1);
    for (const name of PORT_VARIABLES) {
      assert.match(dev.output(), new RegExp(`^port ${variables[name]} is taken.*set ${name} `, 'm'));
    }
    assert.doesNotMatch(dev.output(), /\n {4}at /, 'no stack trace');
  });
});
