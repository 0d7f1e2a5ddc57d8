import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, it } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { heavyPackages, TELLS_PACKAGES } from '../support/loaded-packages.ts';
import { withClient } from '../support/postgres-server.ts';
import { cliFor, MAIN, runCli, runInProcess } from './run-cli.ts';

const UNREACHABLE = { DATABASE_URL: 'postgres://relay:s3cret@127.0.0.1:1/relay' };

/** All commands below one that have none below themselves, as its help lists them. */
async function leavesOf(command: readonly string[]): Promise<string[][]> {
  const { stdout } = await runInProcess([...command, '--help'], {});
  const below = [...(stdout.split('Commands:')[1] ?? '').matchAll(/^ {2}([a-z-]+)\b/gm)].map(([, name = '']) => name);
  const names = below.filter(name => name !== 'help');
  if (names.length === 0) return command.length === 0 ? [] : [[...command]];
  return (await Promise.all(names.map(name => leavesOf([...command, name])))).flat();
}

describe('smtp-relay', { concurrency: 4 }, () => {
  it('shows in the help of every command what it does, examples of it, and exit codes', async () => {
    const commands = await leavesOf([]);
    assert.ok(commands.length > 40);
    for (const command of commands) {
      const { code, stdout } = await runInProcess([...command, '--help'], {});
      assert.equal(code, 0);
      assert.match(stdout, new RegExp(`Examples:\n  \\$ smtp-relay .*${command.join(' ')}`), command.join(' '));
      assert.match(stdout, /Exit codes:\n {2}0 {2}done/);
    }
  });

  it('answers 2 to what is no command, on standard error', async () => {
    for (const args of [
      [],
      ['nothing'],
      ['keys'],
      ['keys', 'nothing'],
      ['keys', 'list', '--nothing'],
      ['emails', 'show'],
    ]) {
      const { code, stdout, stderr } = await runCli(args);
      assert.deepEqual([code, stdout], [2, ''], args.join(' '));
      assert.notEqual(stderr, '');
    }
  });

  it('tells its version', async () => {
    const { code, stdout } = await runCli(['--version']);
    assert.equal(code, 0);
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  });

  it('loads nothing that only other commands need', async () => {
    for (const [args, packages] of [
      [['--version'], []],
      [['keys', 'list'], []],
      [['resources', 'list'], ['typebox']],
    ] as const) {
      const { stderr } = await runCli(args, { ...UNREACHABLE, ...TELLS_PACKAGES });
      assert.match(stderr, /^commander$/m);
      assert.deepEqual(heavyPackages(stderr), packages, args.join(' '));
    }
  });

  it('answers 2 to a configuration that cannot be used, with how to mend it', async () => {
    for (const command of [['keys', 'list'], ['migrate'], ['relay'], ['config', 'check']]) {
      const { code, stdout, stderr } = await runCli(command, { SMTP_RELAY_PORT: '25x7' });
      assert.deepEqual([code, stdout], [2, ''], command.join(' '));
      assert.match(stderr, /SMTP_RELAY_PORT/);
      assert.match(stderr, /DATABASE_URL/);
    }
  });

  it('answers 1 to a database that cannot be reached, in one sentence and without secrets', async () => {
    for (const command of [['keys', 'list', '--json'], ['migrate']]) {
      const { code, stdout, stderr } = await runCli(command, UNREACHABLE);
      assert.deepEqual([code, stdout], [1, ''], command.join(' '));
      assert.match(stderr, /^smtp-relay: cannot reach the database: .*ECONNREFUSED.*; check DATABASE_URL\n$/);
      assert.doesNotMatch(stderr, /s3cret/);
    }
  });

  it('shows the stack only when debugging', async () => {
    const { stderr } = await runCli(['keys', 'list'], { ...UNREACHABLE, SMTP_RELAY_LOG_LEVEL: 'debug' });
    assert.match(stderr, /\n {4}at /);
  });

  it('names the command that prepares a database', async t => {
    const { code, stderr } = await runCli(['keys', 'list'], { DATABASE_URL: await createDatabase(t, { empty: true }) });
    assert.equal(code, 1);
    assert.match(stderr, /run: smtp-relay migrate\n$/);
  });

  it('ends quietly when its reader has gone', async () => {
    const child = spawn(process.execPath, [MAIN, 'config', 'reference'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {},
    });
    child.stdout.destroy();
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', text => {
      stderr += text;
    });
    await new Promise(resolve => child.once('close', resolve));
    assert.deepEqual([child.exitCode, stderr], [0, '']);
  });
});

describe('smtp-relay migrate', () => {
  it('is ended by Ctrl-C while it waits for another one', async t => {
    const url = await createDatabase(t, { empty: true });
    await withClient(url, async client => {
      await client.query('select pg_advisory_lock($1)', [0x736d7470]);
      const child = spawn(process.execPath, [MAIN, 'migrate'], {
        stdio: 'ignore',
        env: { DATABASE_URL: url, SMTP_RELAY_PIPELINE: 'standalone' },
      });
      const ended = new Promise(resolve => child.once('exit', (_, signal) => resolve(signal)));
      const waiting =
        "select from pg_stat_activity where application_name = 'smtp-relay migrate' and wait_event = 'advisory'";
      await eventually(async () => (await client.query(waiting)).rowCount === 1);
      child.kill('SIGINT');
      assert.equal(await ended, 'SIGINT');
    });
  });

  it('prepares a database, says what it did, and sets the pipeline', async t => {
    const cli = cliFor(await createDatabase(t, { empty: true }));
    const first = await cli.json('migrate', '--set-pipeline', 'opensend');
    assert.deepEqual([first.applied.length, first.pipeline], [first.version, 'opensend']);
    assert.match(await cli.text('migrate'), /^Nothing to do: the schema is at version \d+, with the pipeline opensend/);
    const set = await cli.json('migrate', '--set-pipeline', 'standalone');
    assert.deepEqual([set.applied, set.pipeline], [[], 'standalone']);
    assert.deepEqual(await cli.json('keys', 'list'), []);
    assert.equal((await cli.run('migrate', '--set-pipeline', 'both')).code, 2);
  });
});

describe('smtp-relay config', { concurrency: true }, () => {
  const env = { DATABASE_URL: 'postgres://relay:s3cret@db.example/relay', SMTP_RELAY_PORT: '2600' };

  it('prints the effective settings and their sources, and never a secret', async () => {
    const human = await runInProcess(['config', 'print'], env);
    assert.match(human.stdout, /^port +SMTP_RELAY_PORT +2600 +env:SMTP_RELAY_PORT$/m);
    const machine = await runInProcess(['config', 'print', '--json'], env);
    const settings: { name: string; value: unknown; source: string }[] = JSON.parse(machine.stdout);
    const port = settings.find(setting => setting.name === 'port');
    assert.deepEqual([String(port?.value), port?.source], ['2600', 'env:SMTP_RELAY_PORT']);
    assert.doesNotMatch(human.stdout + human.stderr + machine.stdout + machine.stderr, /s3cret/);
  });

  it('checks', async () => {
    const { code, stdout } = await runInProcess(['config', 'check', '--json'], env);
    assert.equal(code, 0);
    assert.equal(JSON.parse(stdout).ok, true);
  });

  it('prints the reference', async () => {
    const { code, stdout } = await runInProcess(['config', 'reference'], {});
    assert.equal(code, 0);
    assert.match(stdout, /^\| `port` \| `SMTP_RELAY_PORT` \| `2587` \|/m);
  });
});
