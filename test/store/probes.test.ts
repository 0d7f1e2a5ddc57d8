import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Probes } from '../../src/store/delivery/workers.ts';
import { migrate } from '../../src/store/schema/migrate.ts';
import { createDatabase } from '../support/database.ts';
import { openPool } from '../support/pool.ts';

const databaseUrl = await createDatabase({ after });
await migrate(databaseUrl, { pipeline: 'standalone' });
const pool = openPool(databaseUrl, 8);
after(() => pool.end());
const probes = new Probes(pool);

/** @returns the try that was granted. @throws where none was */
async function granted(way: string): Promise<string> {
  const answer = await probes.ask(way, 1_000);
  assert.equal(answer.kind, 'granted');
  return answer.kind === 'granted' ? answer.probe : '';
}

async function waitOf(way: string): Promise<number> {
  const answer = await probes.ask(way, 1_000);
  return answer.kind === 'refused' ? answer.waitMs : Number.NaN;
}

describe('the turn to try a way out that is shut', () => {
  it('is given to one of many, the first time and each further time', async () => {
    for (let nth = 0; nth < 3; nth += 1) {
      const answers = await Promise.all(Array.from({ length: 8 }, () => probes.ask('many', 1_000)));
      const turns = answers.flatMap(answer => (answer.kind === 'granted' ? [answer.probe] : []));
      assert.equal(turns.length, 1);
      assert.equal(answers.filter(({ kind }) => kind === 'refused').length, 7);
      await probes.end('many', turns[0] as string, { works: false, pauseMs: 0 });
    }
  });

  it('is another for each way out', async () => {
    await granted('one');
    await granted('other');
  });

  it('comes after the pause of whoever tried in vain, and at once where that told nothing', async () => {
    await probes.end('pause', await granted('pause'), { works: false, pauseMs: 60_000 });
    const wait = await waitOf('pause');
    assert.ok(wait > 50_000 && wait <= 60_000, `${wait} ms`);
    await probes.end('nothing', await granted('nothing'), { works: false, pauseMs: 0 });
    await granted('nothing');
  });

  it('is not needed by who found it shut before another found that it works', async () => {
    await probes.end('mended', await granted('mended'), { works: true, pauseMs: 0 });
    assert.equal((await probes.ask('mended', 60_000)).kind, 'works');
    assert.equal((await probes.ask('mended', 0)).kind, 'granted', 'who has found it shut since then tries it');
  });

  it('is lost with a worker that is heard of no more, whose late word changes nothing', async () => {
    const lost = await granted('lost');
    await pool.query("update smtp_relay_probes set until = now() - interval '1 second' where way = 'lost'");
    const next = await granted('lost');
    await probes.renew('lost', lost);
    await probes.end('lost', lost, { works: true, pauseMs: 0 });
    assert.ok((await waitOf('lost')) > 0);
    await probes.end('lost', next, { works: false, pauseMs: 0 });
    await granted('lost');
  });
});
