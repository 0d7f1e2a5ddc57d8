import process from 'node:process';
import type { Queryable } from '../../../src/postgres/pool.ts';
import { readPipeline } from '../../../src/store/schema/pipeline.ts';
import { openPool } from '../pool.ts';
import { FakeSes } from '../ses/server.ts';
import { type Delivery, OpenSendWorker } from './worker.ts';

/*
 * Beside OpenSend a message is good only when OpenSend's worker has sent it: a 250 for one that SES refuses later is a
 * message lost.
 */

/** Tries at the same time; each takes one of the pool's connections. */
const TURNS = 4;

const FIND_QUEUED = `select id from emails where status = 'queued' order by created_at`;
const LOOK = `select to_regclass('smtp_relay_settings') is not null and to_regclass('emails') is not null as used`;
const SHOW = `
  select "from", "to", cc, bcc, reply_to, left(subject, 1000) as subject, left(html, 200) as html, left(text, 200) as text,
         headers, (select jsonb_agg(a - 'content') from jsonb_array_elements(attachments) a) as attachments
    from emails where id = $1`;

/** A refusal that belongs to a test. */
export interface Unsendable {
  /** Of the error that the worker or SES answers with. */
  readonly refusal: RegExp;
  /** Why the relay takes such a message all the same. */
  readonly because: string;
}

/** The contract counts attachments after Base64 ("Replies"), SES all that is sent, with its line ends and headers. */
export const TOO_LARGE_FOR_SES: Unsendable = {
  refusal: /Message length is more than/,
  because: 'attachments of 40 MB are allowed by the contract, and are with headers and line ends more than SES takes',
};

/**
 * What `findUnsent` finds fails the test's file, and is shown on standard error: a hook that throws would keep the hooks
 * after it from closing what they have to close.
 */
export async function reportUnsent(databaseUrl: string, unsendable?: Unsendable): Promise<void> {
  const found = await findUnsent(databaseUrl, unsendable).catch((error: Error) => String(error.stack));
  if (found === null) return;
  process.exitCode = 1;
  process.stderr.write(`${found}\n`);
}

/**
 * Has everything sent that is queued in a database that is used beside OpenSend; does nothing in any other.
 *
 * @returns what the worker or SES refused, with the rows, for people; null where all went out
 */
export async function findUnsent(databaseUrl: string, unsendable?: Unsendable): Promise<string | null> {
  const db = openPool(databaseUrl, TURNS);
  try {
    const refused = (await sendQueued(db)).filter(({ error }) => !unsendable?.refusal.test(String(error)));
    return refused.length === 0 ? null : await describe(db, refused);
  } finally {
    await db.end();
  }
}

/** @returns what did not go out */
async function sendQueued(db: Queryable): Promise<Delivery[]> {
  if (!(await isBesideOpenSend(db))) return [];
  const { rows } = await db.query<{ id: string }>(FIND_QUEUED);
  const ids = rows.map(({ id }) => id);
  return ids.length === 0 ? [] : sendAll(db, ids);
}

async function isBesideOpenSend(db: Queryable): Promise<boolean> {
  const { rows } = await db.query<{ used: boolean }>(LOOK);
  return rows[0]?.used === true && (await readPipeline(db)) === 'opensend';
}

async function sendAll(db: Queryable, ids: string[]): Promise<Delivery[]> {
  const ses = new FakeSes({ keep: 0 });
  await ses.listen();
  const worker = new OpenSendWorker({ db, ses, tries: 1 });
  const refused: Delivery[] = [];
  const takeTurns = async () => {
    for (let id = ids.shift(); id !== undefined; id = ids.shift()) {
      const delivery = await worker.deliver(id);
      if (delivery.outcome === 'failed') refused.push(delivery);
    }
  };
  await Promise.all(Array.from({ length: TURNS }, takeTurns));
  worker.close();
  await ses.close();
  return refused;
}

async function describe(db: Queryable, refused: readonly Delivery[]): Promise<string> {
  const lines = [`${refused.length} messages got a 250 that OpenSend's worker cannot send:`];
  for (const { emailId, error } of refused.slice(0, 10)) {
    const { rows } = await db.query<object>(SHOW, [emailId]);
    lines.push(`${error?.name}: ${error?.message}`, JSON.stringify(rows[0], null, 2));
  }
  return lines.join('\n');
}
