import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { startSending } from './support/sending.ts';

/** Where each row is, and by which transaction. */
const VERSIONS = 'select email_id, ctid::text, xmin::text, until from smtp_relay_claims order by 1';

describe('the leases of messages in hand', { concurrency: true }, () => {
  for (const [what, leaseTime, renewed] of [
    ['are not written at each look into the database', 60_000, false],
    ['are renewed before they end', 9_000, true],
  ] as const) {
    it(what, async t => {
      const sending = await startSending(t, { 'worker.leaseTime': leaseTime, 'worker.pollInterval': 50 });
      const answer = Promise.withResolvers<void>();
      sending.ses.faults.plan({ kind: 'delay', until: answer.promise });
      const id = await sending.store();
      const versions = async () => (await sending.db.query(VERSIONS)).rows;
      const begun = "select from smtp_relay_claims where state = 'sending'";
      await eventually(async () => (await sending.db.query(begun)).rowCount === 1);
      const first = await versions();
      if (renewed) await eventually(async () => (await versions())[0]?.until > first[0]?.until);
      else {
        await sleep(1_000);
        assert.deepEqual(await versions(), first);
      }
      answer.resolve();
      await sending.until(id, 'sent');
      assert.equal(sending.received(id).length, 1);
    });
  }
});
