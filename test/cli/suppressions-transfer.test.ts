import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import fs, { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as readAll } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import { suppressionTable } from '../../src/declared/kinds/suppression-list.ts';
import { importSuppressions } from '../../src/store/owners/suppressions.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { withClient } from '../support/postgres-server.ts';
import { cliFor, MAIN } from './run-cli.ts';

const INTERRUPTED = 'interrupted: what is on the lists stays there, and importing the file again adds the rest';

async function setUp(t: TestContext) {
  const url = await createDatabase(t);
  const directory = await mkdtemp(join(tmpdir(), 'smtp-relay-csv-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const write = async (name: string, text: string): Promise<string> => {
    const path = join(directory, name);
    await writeFile(path, text);
    return path;
  };
  return { url, directory, write, cli: cliFor(url) };
}

/** A command as a process of its own, which signals reach. */
function start(url: string, ...args: string[]) {
  const child = spawn(process.execPath, [MAIN, 'suppressions', ...args], { env: { DATABASE_URL: url } });
  const output = Promise.all([readAll(child.stdout), readAll(child.stderr)]);
  const ended = new Promise<number | null>(resolve => child.once('exit', resolve));
  return { child, result: async () => ({ code: await ended, stdout: (await output)[0], stderr: (await output)[1] }) };
}

const onTheList = (url: string): Promise<number> =>
  withClient(
    url,
    async client => (await client.query('select count(*)::integer as n from email_suppressions')).rows[0].n,
  );

describe('smtp-relay suppressions interrupted by Ctrl-C', () => {
  it('tells how far an import has come, and what to do', async t => {
    const { url } = await setUp(t);
    const { child, result } = start(url, 'import', '-', '--owner', 'acme');
    child.stdin.on('error', () => {});
    child.stdin.write(Array.from({ length: 2_500 }, (_, nth) => `a${nth}@x.test\n`).join(''));
    await eventually(async () => (await onTheList(url)) === 2_000);
    child.kill('SIGINT');
    const { code, stdout, stderr } = await result();
    const added = await onTheList(url);
    assert.deepEqual([code, stderr.trim()], [130, `smtp-relay: ${INTERRUPTED}`]);
    assert.match(stdout, new RegExp(`^${added} added, 0 there already, 0 bad, up to line \\d+; it ended early\\.\n$`));
  });

  it('leaves the file of an earlier export as it was', async t => {
    const { url, write, directory } = await setUp(t);
    const file = await write('out.csv', 'earlier');
    await withClient(url, async client => {
      await client.query(
        `insert into email_suppressions (user_id, email, reason) select 'acme', 'a' || n || '@x.test', 'manual' from generate_series(1, 5000) n`,
      );
      // The export waits for the table, which somebody else holds.
      await client.query('begin; lock table email_suppressions in access exclusive mode');
      const { child, result } = start(url, 'export', file);
      const waits = "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
      // By another connection: a transaction sees activity as it was when it first looked.
      await eventually(() => withClient(url, async other => (await other.query(waits)).rowCount === 1));
      child.kill('SIGINT');
      await eventually(async () => (await readdir(directory)).includes('out.csv'));
      await client.query('commit');
      assert.equal((await result()).code, 130);
    });
    assert.deepEqual([await readFile(file, 'utf8'), await readdir(directory)], ['earlier', ['out.csv']]);
  });
});

describe('an export into a file that cannot be replaced', () => {
  const EXPORTED = 'email,reason,owner,suppressed_at\n';

  it('is written into it where another file cannot take its place, as where it is mounted by itself', async t => {
    const { cli, write, directory } = await setUp(t);
    const file = await write('out.csv', 'earlier, and longer than what there is to export');
    const rename = t.mock.method(fs, 'rename', async () => {
      throw Object.assign(new Error('resource busy or locked'), { code: 'EBUSY' });
    });
    syncBuiltinESMExports();
    t.after(() => {
      rename.mock.restore();
      syncBuiltinESMExports();
    });
    await cli.text('suppressions', 'export', file);
    assert.equal(rename.mock.callCount(), 1);
    assert.deepEqual([await readFile(file, 'utf8'), await readdir(directory)], [EXPORTED, ['out.csv']]);
  });

  it('keeps all of it beside one that cannot be written to the end', async t => {
    const { cli, write, directory } = await setUp(t);
    const file = await write('out.csv', 'earlier');
    const rename = t.mock.method(fs, 'rename', async () => {
      await rm(file);
      await mkdir(file);
      throw Object.assign(new Error('resource busy or locked'), { code: 'EBUSY' });
    });
    syncBuiltinESMExports();
    t.after(() => {
      rename.mock.restore();
      syncBuiltinESMExports();
    });
    const { code, stderr } = await cli.run('suppressions', 'export', file);
    assert.deepEqual([code, stderr], [1, `smtp-relay: ${file} is not whole: all of it is in ${file}.part\n`]);
    assert.equal(await readFile(`${file}.part`, 'utf8'), EXPORTED);
    assert.deepEqual((await readdir(directory)).sort(), ['out.csv', 'out.csv.part']);
  });

  it('is written into it where no file can be made beside it, and says of a path that is wrong which it is', async t => {
    const { cli, write, directory } = await setUp(t);
    // No name is longer, so that there is none for another file.
    const file = await write('x'.repeat(255), 'earlier, and longer than what there is to export');
    await cli.text('suppressions', 'export', file);
    assert.equal(await readFile(file, 'utf8'), EXPORTED);
    const nowhere = join(directory, 'nowhere', 'out.csv');
    const { code, stderr } = await cli.run('suppressions', 'export', nowhere);
    assert.deepEqual([code, stderr], [1, `smtp-relay: ${nowhere}: there is no such file or folder: mend the path\n`]);
  });
});

describe('smtp-relay suppressions import and export', { concurrency: true }, () => {
  it('imports what it exported, once', async t => {
    const { cli, write, directory, url } = await setUp(t);
    const file = await write(
      'in.csv',
      'email,reason,suppressed_at\nB@x.test,bounce,2026-01-02T03:04:05.678Z\na@x.test,,\n',
    );
    assert.equal(
      await cli.text('suppressions', 'import', file, '--owner', 'acme'),
      '2 added, 0 there already, 0 bad.\n',
    );
    assert.deepEqual(await cli.json('suppressions', 'import', file, '--owner', 'acme'), {
      added: 0,
      existing: 2,
      bad: [],
    });
    const out = join(directory, 'out.csv');
    assert.equal(await cli.text('suppressions', 'export', out, '--owner', 'acme'), '');
    assert.equal((await stat(out)).mode & 0o777, 0o600);
    const exported = await readFile(out, 'utf8');
    assert.match(
      exported,
      /^email,reason,owner,suppressed_at\na@x\.test,manual,acme,20\d\d-.*Z\nb@x\.test,bounced,acme,2026-01-02T03:04:05\.678Z\n$/,
    );
    assert.equal(await cli.text('suppressions', 'export'), exported);
    assert.equal(
      await cli.text('suppressions', 'export', '-', '--owner', 'nobody'),
      'email,reason,owner,suppressed_at\n',
    );
    await withClient(url, client => client.query('delete from email_suppressions'));
    assert.deepEqual(await cli.json('suppressions', 'import', out), { added: 2, existing: 0, bad: [] });
    assert.equal(await cli.text('suppressions', 'export'), exported);
  });

  it('tells what an unknown reason was taken as, which --strict takes too', async t => {
    const { cli, write } = await setUp(t);
    const file = await write('in.csv', 'email,reason\na@x.test,Undetermined\nb@x.test,soft-bounce\n');
    const { code, stdout, stderr } = await cli.run('suppressions', 'import', file, '--owner', 'acme', '--strict');
    assert.deepEqual([code, stdout], [0, '2 added, 0 there already, 0 bad, 2 noted.\n']);
    assert.equal(
      stderr,
      'line 2: the reason "Undetermined" is taken as manual\nline 3: the reason "soft-bounce" is taken as bounced\n',
    );
    assert.match(await cli.text('suppressions', 'export'), /a@x\.test,manual,.*\nb@x\.test,bounced,/);
  });

  it('imports the good lines and lists the bad ones; with --strict, nothing', async t => {
    const { cli, write } = await setUp(t);
    const file = await write('in.csv', 'email\na@x.test\nnobody\nb@x.test\n');
    const strict = await cli.run('suppressions', 'import', file, '--owner', 'acme', '--strict');
    assert.deepEqual([strict.code, strict.stdout], [1, '']);
    assert.equal(
      strict.stderr,
      'line 3: "nobody" is not an email address\nsmtp-relay: nothing was imported: 1 bad line\n',
    );
    assert.deepEqual(await cli.json('suppressions', 'list'), []);
    const lenient = await cli.run('suppressions', 'import', file, '--owner', 'acme');
    assert.deepEqual([lenient.code, lenient.stdout], [0, '2 added, 0 there already, 1 bad.\n']);
    assert.equal(lenient.stderr, 'line 3: "nobody" is not an email address\n');
  });

  it('leaves alone what is on the list, also under the Unicode form of its domain', async t => {
    const { cli, write, url } = await setUp(t);
    await withClient(url, client =>
      client.query(
        `insert into email_suppressions (user_id, email, reason) values ('acme', 'x@bücher.example', 'complained')`,
      ),
    );
    const file = await write('in.csv', 'email\nx@bücher.example\n');
    assert.deepEqual(await cli.json('suppressions', 'import', file, '--owner', 'acme'), {
      added: 0,
      existing: 1,
      bad: [],
    });
    const [row, ...rest] = await cli.json('suppressions', 'list');
    assert.deepEqual([row.reason, rest], ['complained', []]);
  });

  it('takes thousands of lines from standard input', async t => {
    const { cli, url } = await setUp(t);
    const child = spawn(
      process.execPath,
      [MAIN, 'suppressions', 'import', '-', '--owner', 'acme', '--reason', 'bounced'],
      {
        env: { DATABASE_URL: url },
        timeout: 120_000,
      },
    );
    child.stdin.end(`email\n${Array.from({ length: 5_000 }, (_, index) => `user${index % 4_500}@x.test\n`).join('')}`);
    assert.equal(await readAll(child.stdout), '4500 added, 500 there already, 0 bad.\n');
    const exported = (await cli.text('suppressions', 'export')).trimEnd().split('\n');
    assert.deepEqual([exported.length, new Set(exported).size], [4_501, 4_501]);
  });

  it('tells how far it came where it ends early', async t => {
    const { cli, write, url } = await setUp(t);
    await withClient(url, client =>
      client.query("alter table email_suppressions add constraint test_full check (email <> 'u4321@x.test')"),
    );
    const lines = Array.from({ length: 6_000 }, (_, n) => (n === 10 ? 'nobody\n' : `u${n}@x.test,later\n`));
    const file = await write('in.csv', `email,created\n${lines.join('')}`);
    const ended = await cli.run('suppressions', 'import', file, '--owner', 'acme');
    assert.equal(ended.code, 1);
    assert.match(ended.stdout, /^4000 added, 0 there already, 1 bad, \d+ noted, up to line 4002; it ended early\.\n$/);
    assert.match(ended.stderr, /^line 12: "nobody" is not an email address$/m);
    assert.match(ended.stderr, /test_full/);
    const json = await cli.run('suppressions', 'import', file, '--owner', 'acme', '--json');
    assert.deepEqual([JSON.parse(json.stdout).existing, JSON.parse(json.stdout).upToLine], [4_000, 4_002]);
  });

  it('takes no longer for what is on the lists already', async t => {
    const { url } = await setUp(t);
    await withClient(url, async client => {
      const rowsOf = (name: string) =>
        Array.from({ length: 2_000 }, (_, n) => ({
          owner: 'acme',
          email: `${name}${n}@xn--bcher-kva.test`,
          reason: 'manual' as const,
          suppressedAt: null,
        }));
      const rows = rowsOf('new');
      const start = performance.now();
      assert.equal(await importSuppressions(client, rowsOf('first')), 2_000);
      // Each compared with each took ten seconds and more, a hundred times what it takes on an empty list.
      const most = 4_000 + 20 * (performance.now() - start);
      await client.query(
        "insert into email_suppressions (user_id, email, reason) select 'acme', n || '@x.test', 'manual' from generate_series(1, 50000) n",
      );
      const began = performance.now();
      assert.equal(await importSuppressions(client, rows), 2_000);
      assert.equal(await importSuppressions(client, rows), 0);
      assert.ok(performance.now() - began < most, `${performance.now() - began} ms`);
      const declared = () => rows.map((row, n) => ({ ...row, id: randomUUID(), email: `declared${n}@x.test` }));
      const begun = performance.now();
      assert.equal((await suppressionTable.insert(client, declared())).length, 2_000);
      assert.equal((await suppressionTable.insert(client, declared())).length, 0);
      assert.ok(performance.now() - begun < most, `${performance.now() - begun} ms`);
    });
  });

  it('says what is wrong with a file', async t => {
    const { cli, write } = await setUp(t);
    const missing = await cli.run('suppressions', 'import', '/no/such/file.csv', '--owner', 'acme');
    assert.deepEqual([missing.code, missing.stdout], [1, '']);
    assert.match(missing.stderr, /no such file/);
    const other = await cli.run('suppressions', 'import', await write('other.csv', 'nobody\n'), '--owner', 'acme');
    assert.match(other.stderr, /the first line must name the columns/);
    assert.equal((await cli.run('suppressions', 'import')).code, 2);
    assert.equal((await cli.run('suppressions', 'import', 'x.csv', '--reason', 'whim')).code, 2);
  });
});
