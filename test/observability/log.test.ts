import assert from 'node:assert/strict';
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import pg from 'pg';
import { createLogger } from '../../src/observability/log.ts';

/** A full disk, where there is such a device. */
const FULL = '/dev/full';

describe('the log', () => {
  it('shows an error of Postgres without the data that it quotes', () => {
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    const error = Object.assign(new pg.DatabaseError('invalid input syntax', 0, 'error'), {
      code: '22P02',
      detail: 'my secret text',
      where: 'JSON data, line 1: "my secret text"',
      internalQuery: "select 'my secret text'",
    });
    createLogger({ level: 'info', format: 'json', destination }).error({ err: error }, 'not stored');
    assert.match(lines.join(''), /22P02/);
    assert.doesNotMatch(lines.join(''), /secret/);
  });

  for (const [how, end] of [
    ['by itself', ''],
    ['at once', 'process.exit()'],
    ['by a fault', 'throw new Error()'],
  ] as const) {
    it(`loses no line of a process that ends ${how}`, async t => {
      const output = await allOutput(logging(t, `for (let i = 0; i < 5000; i += 1) logger.info({ i }); ${end}`));
      const lines = output.trim().split('\n');
      assert.deepEqual(
        lines.map(line => JSON.parse(line).i),
        Array.from({ length: 5_000 }, (_, i) => i),
      );
    });
  }

  it('listens to the end of the process once, however many loggers there are', () => {
    const create = () => createLogger({ level: 'silent', format: 'json' });
    create();
    const before = process.listenerCount('exit');
    create();
    assert.equal(process.listenerCount('exit'), before);
  });

  it('holds up neither a process nor its end where no line can be written', {
    skip: !existsSync(FULL) && FULL,
  }, async t => {
    const full = openSync(FULL, 'w');
    t.after(() => closeSync(full));
    const program = `const timer = setInterval(() => logger.info('here'), 20);
      setTimeout(() => { clearInterval(timer); console.error('alive'); }, 500);`;
    const child = logging(t, program, ['ignore', full, 'pipe']);
    const signal = AbortSignal.timeout(60_000);
    const [said] = await once(child.stderr as NodeJS.ReadableStream, 'data', { signal });
    assert.match(String(said), /^alive/);
    if (child.exitCode === null) await once(child, 'exit', { signal });
    assert.equal(child.exitCode, 0);
  });

  it('shows a line of a process that goes on', async t => {
    const child = logging(t, "logger.info('here'); setInterval(() => {}, 60_000);");
    const [line] = await once(child.stdout as NodeJS.ReadableStream, 'data');
    assert.equal(JSON.parse(line).msg, 'here');
  });
});

/** A process that logs to its standard output. */
function logging(t: TestContext, program: string, stdio: StdioOptions = ['ignore', 'pipe', 'ignore']): ChildProcess {
  const url = new URL('../../src/observability/log.ts', import.meta.url);
  const start = `import { createLogger } from '${url}'; const logger = createLogger({ level: 'info', format: 'json' });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', `${start} ${program}`], { stdio });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

async function allOutput({ stdout }: ChildProcess): Promise<string> {
  let output = '';
  for await (const chunk of stdout ?? []) output += chunk;
  return output;
}
