import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ThreadPool } from '../../src/message/thread-pool.ts';
import { eventually } from '../support/eventually.ts';
import { mail } from '../support/mail.ts';
import { PARTS_OPTIONS } from './read-parts.ts';

const TIMEOUT = 1_000;
const NEVER = new AbortController().signal;

/** Where a task is; shared with the thread, which waits there. */
const [GIVEN, BEGUN, FINISH] = [0, 1, 2];
/** A module for threads that starts once a file beside it is there, and whose tasks last until they are told to finish. */
const MODULE = `
  import { existsSync } from 'node:fs';
  const nothing = new Int32Array(new SharedArrayBuffer(4));
  while (!existsSync(new URL('may-start', import.meta.url))) Atomics.wait(nothing, 0, 0, 10);
  export default ({ at }) => {
    if (Atomics.compareExchange(at, 0, ${GIVEN}, ${BEGUN}) === ${GIVEN}) Atomics.wait(at, 0, ${BEGUN});
    return Atomics.load(at, 0);
  };
`;

/** A task whose thread does what the test says, and when. */
class Task {
  readonly #at = new Int32Array(new SharedArrayBuffer(4));
  readonly answer: Promise<number>;

  constructor(pool: ThreadPool<{ at: Int32Array }, number>) {
    this.answer = pool.run(() => ({ task: { at: this.#at }, transferList: [] }), NEVER);
    // Whoever looks at it later hears of it.
    this.answer.catch(() => {});
  }

  begun(): Promise<boolean> {
    return eventually(() => Atomics.load(this.#at, 0) === BEGUN);
  }

  async finish(): Promise<void> {
    Atomics.store(this.#at, 0, FINISH);
    Atomics.notify(this.#at, 0);
    assert.equal(await this.answer, FINISH);
  }
}

/** One thread that starts when told, and a clock that stands still. */
async function openPool(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'smtp-relay-threads-'));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'thread.mjs'), MODULE);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const file = pathToFileURL(join(folder, 'thread.mjs'));
  const pool = new ThreadPool<{ at: Int32Array }, number>({ file, threads: 1, timeout: TIMEOUT });
  t.after(() => pool.close());
  return {
    give: () => new Task(pool),
    letStart: (may: boolean) =>
      may ? writeFile(join(folder, 'may-start'), '') : rm(join(folder, 'may-start'), { force: true }),
    pass: (milliseconds: number) => t.mock.timers.tick(milliseconds),
  };
}

describe('the time of a task', () => {
  it('ends it with 451', async t => {
    const { give, letStart, pass } = await openPool(t);
    await letStart(true);
    const task = give();
    await task.begun();
    pass(TIMEOUT);
    await assert.rejects(task.answer, { code: 451, enhancedCode: '4.3.0', rule: 'parse_timeout' });
  });

  it('does not begin while others have the thread', async t => {
    const { give, letStart, pass } = await openPool(t);
    await letStart(true);
    const tasks = Array.from({ length: 4 }, give);
    for (const task of tasks) {
      await task.begun();
      pass(0.9 * TIMEOUT);
      await task.finish();
    }
  });

  it('does not begin while a thread starts: neither the first nor one that takes the place of an ended one', async t => {
    const { give, letStart, pass } = await openPool(t);
    const endless = give();
    pass(2 * TIMEOUT);
    await letStart(true);
    await endless.begun();
    const behind = give();
    await letStart(false);
    pass(TIMEOUT);
    await assert.rejects(endless.answer, { rule: 'parse_timeout' });
    pass(2 * TIMEOUT);
    await letStart(true);
    await behind.begun();
    pass(0.9 * TIMEOUT);
    await behind.finish();
  });
});

/** The fields of proc(5)'s stat behind the name, which may hold spaces: the nice value is the nineteenth of all. */
const NICE = 16;

/** @returns the nice value of each thread of this process */
async function niceValues(): Promise<number[]> {
  const tasks = await readdir('/proc/self/task');
  const stats = await Promise.all(tasks.map(task => readFile(`/proc/self/task/${task}/stat`, 'utf8').catch(() => '')));
  return stats.filter(Boolean).map(stat => Number(stat.replace(/^.*\) /s, '').split(' ')[NICE]));
}

it('threads step behind the main thread', { skip: process.platform !== 'linux' }, async t => {
  const file = new URL('../../src/message/parse-thread.ts', import.meta.url);
  const pool = new ThreadPool({ file, threads: 1, timeout: 60_000 });
  t.after(() => pool.close());
  const raw = new Uint8Array(mail('Content-Type: text/plain', '', 'Hi'));
  const make = () => ({ task: { raw: [raw], options: PARTS_OPTIONS }, transferList: [] });
  await pool.run(make, new AbortController().signal);
  const nice = await niceValues();
  assert.equal(nice.filter(value => value === Math.min(19, getPriority() + 10)).length, 1, nice.join(' '));
});
