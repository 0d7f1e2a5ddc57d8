import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { OpenSendWorker } from '../support/opensend/worker.ts';
import { randomMail } from '../support/random-mail.ts';
import { startRelay } from '../support/relay.ts';
import { startFakeSes } from '../support/ses/start.ts';
import { emailIdOf, type Reply, SmtpClient } from '../support/smtp-client.ts';
import { startWorker } from '../support/worker.ts';

const MESSAGES = 300;
const DOMAIN = 'acme.test';
const SES = { pipeline: 'standalone', transport: 'ses', senderDomains: 'any' } as const;
/** Local parts beyond ASCII are refused earlier, at RCPT, and not tried here. */
const RECIPIENTS = ['bob@example.com', '"a b"@example.com', 'x_y@xn--bcher-kva.example', "o'neil@EXAMPLE.org"];

const relay = await startRelay({ after }, { settings: SES, owner: { keyDomain: null } });
const ses = await startFakeSes({ after });
await startWorker(
  { after },
  {
    databaseUrl: relay.databaseUrl,
    queue: relay.queue,
    settings: { ...SES, 'ses.endpoint': ses.endpoint, 'ses.sendRate': 100_000 },
  },
);

/** Beside OpenSend. */
const beside = await startRelay({ after }, { queue: false, owner: { keyDomain: null } });

async function send(client: SmtpClient, seed: number): Promise<Reply> {
  const { raw } = randomMail(seed, DOMAIN, seed % 3 === 0);
  const data = Buffer.from(raw.toString('latin1').replaceAll(/^\./gm, '..').slice(0, -2), 'latin1');
  const to = RECIPIENTS.slice(0, 1 + (seed % RECIPIENTS.length));
  return client.transact({ from: `hello@${DOMAIN}`, to, data }, '');
}

describe('random messages on their whole way', () => {
  it('are taken by SES where they got a 250, and else were told what is wrong', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    const accepted = new Map<string, number>();
    for (let seed = 0; seed < MESSAGES; seed += 1) {
      const reply = await send(client, seed);
      if (reply.code === 250) accepted.set(emailIdOf(reply), seed);
      else
        assert.match(
          reply.last,
          /^(?:550|554) 5\.[67]\.\d+ .*(?:[Hh]eader|line|multipart|\.\w+ files)/,
          `seed ${seed}`,
        );
    }
    assert.ok(accepted.size > MESSAGES / 3, `${accepted.size} accepted`);
    await eventually(async () => {
      const { rows } = await relay.db.query<{ count: number }>(
        `select count(*)::integer as count from emails where status in ('queued', 'processing')`,
      );
      assert.equal(rows[0]?.count, 0);
      return true;
    });
    const { rows } = await relay.db.query<{ id: string; status: string; why: string | null }>(
      `select id, status, provider_last_error_message as why from emails where status <> 'sent'`,
    );
    assert.deepEqual(
      rows.map(({ id, status, why }) => [`seed ${accepted.get(id)}`, status, why]),
      [],
    );
    const ids = new Set(ses.mailbox.messages.map(({ tags }) => tags['smtp-relay-email-id']));
    assert.deepEqual(
      [...accepted.keys()].filter(id => !ids.has(id)),
      [],
    );
  });

  it("are taken likewise of OpenSend's worker", async t => {
    const worker = new OpenSendWorker({ db: beside.db, ses });
    t.after(() => worker.close());
    const client = await SmtpClient.loggedIn(t, beside);
    let accepted = 0;
    for (let seed = 0; seed < MESSAGES; seed += 1) {
      const reply = await send(client, seed);
      if (reply.code !== 250) continue;
      accepted += 1;
      const { outcome, error } = await worker.deliver(emailIdOf(reply));
      assert.equal(outcome, 'sent', `seed ${seed}: ${error?.message}`);
    }
    assert.ok(accepted > MESSAGES / 3, `${accepted} accepted`);
  });
});
