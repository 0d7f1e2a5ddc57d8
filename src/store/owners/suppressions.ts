import { Batcher } from '../../flow/batcher.ts';
import { comparableAddress, parseAddress, suppressionForms } from '../../message/addresses/address.ts';
import { StoreError } from '../../postgres/errors.ts';
import { kept, type Queryable } from '../../postgres/pool.ts';
import { refuseDeclared } from './declaration.ts';

export interface Suppression {
  readonly id: string;
  readonly owner: string;
  readonly email: string;
  readonly reason: string;
  readonly suppressedAt: Date;
}

export const SUPPRESSION_REASONS = ['bounced', 'complained', 'manual'] as const;
export type SuppressionReason = (typeof SUPPRESSION_REASONS)[number];

/** An address, and the owner whose list it is looked up on. */
export interface SuppressionQuestion {
  readonly userId: string;
  readonly email: string;
}

const COLUMNS = `
  id, user_id as owner, email, reason, suppressed_at as "suppressedAt"`;

/**
 * SQL: whether an owner's list has an address, in this form. OFFSET keeps the question of each by itself: joined, or compared with all
 * at once, an owner's whole list may be read by OpenSend's index of `user_id`, where most owners have short ones.
 */
const isListed = (owner: string, form: string): string =>
  `exists (select from email_suppressions s where s.user_id = ${owner} and s.email = ${form} offset 0)`;

const FIND_SUPPRESSED = `
  select position::integer
    from unnest($1::text[], $2::text[], $3::integer[]) as asked (user_id, email, position)
   where ${isListed('asked.user_id', 'asked.email')}`;

/**
 * SQL: those of the `suppression_forms` of a row of `message` that are on the list of its `user_id`; null where none is. For the
 * statement that stores messages, which so needs no query before it.
 */
export const SUPPRESSED = `
  (select array_agg(form) from unnest(message.suppression_forms) as form
    where ${isListed('message.user_id', 'form')}) as suppressed`;

/** The forms under which an address, as a message has it, may stand on a list. */
export function listForms(address: string): readonly string[] {
  return suppressionForms(address.trim());
}

/** Those of the addresses that have one of these forms. */
export function suppressedAmong(addresses: readonly string[], forms: readonly string[]): readonly string[] {
  const found = new Set(forms);
  return addresses.filter(address => listForms(address).some(form => found.has(form)));
}

const INSERT = `
  insert into email_suppressions (user_id, email, reason)
  select $1, $2, $3
   where not exists (select from email_suppressions where user_id = $1 and email = any($4))
  on conflict do nothing
  returning ${COLUMNS}`;

const FIND = `
  select ${COLUMNS} from email_suppressions where user_id = $1 and email = any($2)`;

const LIST = `
  select ${COLUMNS} from email_suppressions where $1::text is null or user_id = $1 order by user_id, email`;

/**
 * One that is there already stays, under whichever form.
 */
const IMPORT = `
  with wanted as materialized (
    select * from jsonb_to_recordset($1::jsonb) as w (
      position integer, owner text, email text, forms text[], reason text, "suppressedAt" timestamptz)
  ), there as (
    select position from wanted, unnest(forms) as form
     where ${isListed('owner', 'form')}
  )
  insert into email_suppressions (user_id, email, reason, suppressed_at)
  select owner, email, reason, coalesce("suppressedAt", now()) from wanted
   where position not in (select position from there)
   order by owner, email
  on conflict do nothing`;

/** $1 owner or null; $2 and $3: after this one; $4 at most. */
const PAGE = `
  select ${COLUMNS} from email_suppressions
   where ($1::text is null or user_id = $1) and (user_id, email) > ($2, $3)
   order by user_id, email limit $4`;

const DELETE = `
  delete from email_suppressions where user_id = $1 and email = any($2) returning ${COLUMNS}`;

/**
 * Which of these addresses are on their owner's suppression list, by one query for all of them.
 *
 * @returns the questions whose answer is yes
 */
export async function findSuppressed<Q extends SuppressionQuestion>(
  db: Queryable,
  questions: readonly Q[],
): Promise<Set<Q>> {
  const suppressed = new Set<Q>();
  if (questions.length === 0) return suppressed;
  const users: string[] = [];
  const emails: string[] = [];
  const positions: number[] = [];
  questions.forEach((question, position) => {
    for (const form of listForms(question.email)) {
      users.push(question.userId);
      emails.push(form);
      positions.push(position);
    }
  });
  const { rows } = await db.query<{ position: number }>(kept(FIND_SUPPRESSED, [users, emails, positions]));
  for (const { position } of rows) suppressed.add(questions[position] as Q);
  return suppressed;
}

/**
 * Puts an address on an owner's list: trimmed, lower case, its domain in A-labels. One that is there already stays as it
 * is, with its reason.
 */
export async function addSuppression(
  db: Queryable,
  wanted: { readonly owner: string; readonly email: string; readonly reason: SuppressionReason },
): Promise<Suppression & { readonly added: boolean }> {
  if (!wanted.owner.trim()) throw new StoreError('invalid', 'the owner is empty');
  const email = normaliseEmail(wanted.email);
  const forms = suppressionForms(email);
  const inserted = await db.query<Suppression>(INSERT, [wanted.owner, email, wanted.reason, forms]);
  if (inserted.rows[0]) return { ...inserted.rows[0], added: true };
  const found = await db.query<Suppression>(FIND, [wanted.owner, forms]);
  if (!found.rows[0]) throw new StoreError('conflict', `${email} was removed at the same moment; try again`);
  return { ...found.rows[0], added: false };
}

/** All suppressions, or one owner's. */
export async function listSuppressions(db: Queryable, owner?: string): Promise<Suppression[]> {
  return (await db.query<Suppression>(LIST, [owner ?? null])).rows;
}

/** A suppression that another system has. */
export interface SuppressionImport {
  readonly owner: string;
  /** As `suppressionAddress` gives it. */
  readonly email: string;
  readonly reason: SuppressionReason;
  /** null: now. */
  readonly suppressedAt: Date | null;
}

/** The form in which an address is kept: trimmed, lower case, its domain in A-labels; null where it is no address. */
export function suppressionAddress(text: string): string | null {
  const address = parseAddress(text.trim());
  return address === null ? null : comparableAddress(address);
}

/** Puts many addresses on lists by one statement. Those that are there stay as they are. @returns how many are new */
export async function importSuppressions(db: Queryable, wanted: readonly SuppressionImport[]): Promise<number> {
  const rows = wanted.map((row, position) => ({ ...row, position, forms: suppressionForms(row.email) }));
  return (await db.query(IMPORT, [JSON.stringify(rows)])).rowCount ?? 0;
}

const PAGE_SIZE = 1_000;

/** All suppressions, or one owner's, by owner and address; a page at a time, however many there are. */
export async function* eachSuppression(db: Queryable, owner?: string): AsyncGenerator<Suppression> {
  let last = { owner: '', email: '' };
  for (;;) {
    const { rows } = await db.query<Suppression>(PAGE, [owner ?? null, last.owner, last.email, PAGE_SIZE]);
    yield* rows;
    const end = rows.at(-1);
    if (end === undefined || rows.length < PAGE_SIZE) return;
    last = end;
  }
}

export async function removeSuppression(db: Queryable, owner: string, address: string): Promise<Suppression> {
  const email = normaliseEmail(address);
  const forms = suppressionForms(email);
  const found = await db.query<Suppression>(FIND, [owner, forms]);
  const ids = found.rows.map(({ id }) => id);
  await refuseDeclared(db, 'SuppressionList', ids, { what: 'this address' });
  const { rows } = await db.query<Suppression>(DELETE, [owner, forms]);
  if (!rows[0])
    throw new StoreError('not-found', `${email} is not on the suppression list of ${owner}`, 'suppressions');
  return rows[0];
}

function normaliseEmail(text: string): string {
  const address = suppressionAddress(text);
  if (address === null) throw new StoreError('invalid', `"${text}" is not an email address`);
  return address;
}

const MAX_BATCH = 64;
const CONCURRENT_QUERIES = 2;
/** Milliseconds. */
const QUERY_INTERVAL = 4;

/** Those of the addresses that are on the owner's suppression list, in their order. */
export type SuppressionLookup = (userId: string, addresses: readonly string[]) => Promise<readonly string[]>;

/** Looks suppressions up; sessions that ask at the same time share one query. */
export function createSuppressionLookup(db: Queryable): SuppressionLookup {
  const batcher = new Batcher<readonly SuppressionQuestion[], readonly string[]>({
    run: async asked => {
      const suppressed = await findSuppressed(db, asked.flat());
      return asked.map(questions => questions.filter(question => suppressed.has(question)).map(({ email }) => email));
    },
    maxItems: MAX_BATCH,
    concurrency: CONCURRENT_QUERIES,
    interval: QUERY_INTERVAL,
  });
  return (userId, addresses) => batcher.add(addresses.map(email => ({ userId, email })));
}
