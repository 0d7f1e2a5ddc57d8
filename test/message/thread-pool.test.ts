import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { getPriority } from 'node:os';
import { it } from 'node:test';
import { ThreadPool } from '../../src/message/thread-pool.ts';
import { mail } from '../support/mail.ts';
import { PARTS_OPTIONS } from './read-parts.ts';

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
  const make = () => ({ task: { raw, options: PARTS_OPTIONS }, transferList: [] });
  await pool.run(make, new AbortController().signal);
  const nice = await niceValues();
  assert.equal(nice.filter(value => value === Math.min(19, getPriority() + 10)).length, 1, nice.join(' '));
});
