import { randomBytes, randomUUID } from 'node:crypto';
import type pg from 'pg';
import { pino } from 'pino';
import { newTrace } from '../../src/observability/tracing.ts';
import { type Claim, Claims } from '../../src/store/delivery/claims.ts';
import { type Settlement, Settler } from '../../src/store/delivery/settle.ts';
import { findByMessageId } from '../../src/store/emails/find.ts';
import { listEmails } from '../../src/store/emails/list.ts';
import { readEmailStory } from '../../src/store/emails/show.ts';
import { Intake } from '../../src/store/intake/intake.ts';
import type { NewMessage } from '../../src/store/messages/new-message.ts';
import { applyRetention } from '../../src/store/retention/retention.ts';
import { leaseDeliveries } from '../../src/store/webhooks/leases.ts';

/** What one round does with a database, in this order: each step has what the one before it left. */
export interface Step {
  readonly name: string;
  /** @returns of how many things the cost is told */
  readonly run: () => Promise<number>;
}

const RAW_BYTES = 2_048;
/** CPU is told in hundredths of a second, so that few would not do. */
const LOOKS = 200;
const OWNER = 'owner1';
const NAMES = 'select message_id as id from smtp_relay_messages where email_id = any($1::uuid[])';
const logger = pino({ level: 'silent' });
const never = new AbortController().signal;

export interface WorkOptions {
  readonly pool: pg.Pool;
  /** Messages that a round stores, claims and settles. */
  readonly messages: number;
  /** How ids of new messages are made. */
  readonly newId: () => string;
}

/** The steps of a round. */
export function stepsOf({ pool, messages, newId }: WorkOptions): readonly Step[] {
  const metrics = { committed: () => {} };
  const intake = new Intake(pool, { outboxLease: 60_000 }, metrics);
  const claims = new Claims(pool, { worker: 'bench', leaseTime: 600_000 });
  const settler = new Settler({ pool, worker: 'bench', logger });
  let stored: string[] = [];
  let claimed: Claim[] = [];
  return [
    {
      name: 'intake',
      async run() {
        const all = Array.from({ length: messages }, () => newMessage(newId()));
        await concurrently(64, all, message => intake.store(message));
        stored = all.map(({ id }) => id);
        return messages;
      },
    },
    {
      name: 'claim',
      async run() {
        claimed = [];
        for (let at = 0; at < stored.length; at += 64) claimed.push(...(await claims.take(stored.slice(at, at + 64))));
        if (claimed.length !== messages) throw new Error(`claimed ${claimed.length} of ${messages}`);
        return messages;
      },
    },
    {
      name: 'renew',
      async run() {
        for (let at = 0; at < claimed.length; at += 160) await claims.renew(claimed.slice(at, at + 160));
        return messages;
      },
    },
    {
      name: 'begin',
      async run() {
        await concurrently(64, claimed, claim => claims.beginSending(claim, ['to@example.com']));
        return messages;
      },
    },
    {
      name: 'settle',
      async run() {
        await concurrently(64, claimed, claim => settler.settle(settlement(claim, newId()), never));
        return messages;
      },
    },
    {
      name: 'webhook look',
      async run() {
        let leased = 0;
        for (;;) {
          const request = { rooms: [], room: 64, limit: 64, leaseTime: 60_000 };
          const some = await leaseDeliveries(pool, request);
          if (some.length === 0) break;
          leased += some.length;
          await pool.query(`update webhook_deliveries set status = 'success', attempt = 1 where id = any($1::uuid[])`, [
            some.map(({ id }) => id),
          ]);
        }
        if (leased < messages) throw new Error(`leased ${leased} of ${messages}`);
        return leased;
      },
    },
    {
      name: 'webhook look, nothing due',
      async run() {
        const request = { rooms: [], room: 64, limit: 64, leaseTime: 60_000 };
        for (let look = 0; look < LOOKS; look += 1) await leaseDeliveries(pool, request);
        return LOOKS;
      },
    },
    { name: 'list newest', run: () => list(pool, {}) },
    { name: 'list of an owner', run: () => list(pool, { owner: 'owner7' }) },
    { name: 'list failed', run: () => list(pool, { status: 'failed' }) },
    { name: 'list queued', run: () => list(pool, { status: 'queued' }) },
    { name: 'list of a status that none has', run: () => list(pool, { status: 'none' }, LOOKS / 10) },
    {
      name: 'show by id',
      async run() {
        for (let look = 0; look < LOOKS; look += 1) await readEmailStory(pool, stored[look % stored.length] ?? '');
        return LOOKS;
      },
    },
    {
      name: 'show by Message-ID',
      async run() {
        const { rows } = await pool.query<{ id: string }>(NAMES, [stored.slice(0, LOOKS)]);
        for (const { id } of rows) await readEmailStory(pool, id);
        return rows.length;
      },
    },
    {
      name: 'unknown Message-ID',
      async run() {
        for (let look = 0; look < LOOKS; look += 1) await findByMessageId(pool, `${look}@nobody.test`, 20);
        return LOOKS;
      },
    },
    {
      name: 'retention',
      async run() {
        const sql = 'select created_at as at from emails order by created_at offset $1 limit 1';
        const { rows } = await pool.query<{ at: Date }>(sql, [Math.floor(messages / 2)]);
        const age = Date.now() - (rows[0]?.at.getTime() ?? Date.now());
        const forever = Number.POSITIVE_INFINITY;
        const periods = { messages: age, raw: forever, bodies: forever, events: forever, deliveries: forever };
        return (await applyRetention({ db: pool, periods, signal: never })).messages;
      },
    },
  ];
}

async function list(pool: pg.Pool, filter: { owner?: string; status?: string }, looks = LOOKS): Promise<number> {
  for (let time = 0; time < looks; time += 1) await listEmails(pool, { ...filter, limit: 50 });
  return looks;
}

async function concurrently<T>(lanes: number, items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const left = items.values();
  const lane = async () => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

let told = 0;

function settlement(claim: Claim, eventId: string): Settlement {
  told += 1;
  // As SES's, which begin with the time.
  const providerMessageId = `${Date.now().toString(16).padStart(16, '0')}-${randomUUID()}-${told}`;
  const recipients = ['to@example.com'];
  return {
    claim,
    standing: { kind: 'sent' },
    attempts: [
      {
        transport: 'ses',
        recipients,
        outcome: 'sent',
        code: null,
        message: null,
        providerMessageId,
        startedAt: new Date(),
      },
    ],
    events: [
      {
        id: eventId,
        emailId: claim.emailId,
        userId: OWNER,
        type: 'sent',
        sourceId: `ses:${providerMessageId}:send`,
        payload: { from: 'bench@bench.test', to: recipients, subject: 'Meanwhile', recipients },
      },
    ],
    trace: newTrace(),
    notice: null,
  };
}

function newMessage(id: string): NewMessage {
  return {
    id,
    userId: OWNER,
    from: 'bench@bench.test',
    to: ['to@example.com'],
    cc: [],
    bcc: [],
    replyTo: [],
    subject: 'Meanwhile',
    text: 'some text of it '.repeat(25),
    html: null,
    headers: { 'X-Kind': 'bench' },
    attachments: [],
    attachmentsJson: null,
    tags: [],
    trace: newTrace(),
    messageId: `${randomUUID()}@bench.test`,
    original: {
      raw: randomBytes(RAW_BYTES),
      sha256: randomBytes(32),
      reversePath: 'bounce@bench.test',
      recipients: ['to@example.com'],
      bodyType: '7BIT',
      smtpUtf8: false,
    },
    idempotency: null,
  };
}
