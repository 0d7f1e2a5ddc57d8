import type { Queryable } from '../../postgres/pool.ts';

/** Whose links end: all of an owner's, or those of one message. */
export type LinkSubject =
  | { readonly kind: 'owner'; readonly owner: string }
  | { readonly kind: 'message'; readonly emailId: string };

export interface EndedLinks {
  readonly kind: 'owner' | 'message';
  /** The owner, or the message's id. */
  readonly id: string;
  readonly endedAt: Date;
}

const END = `insert into smtp_relay_ended_links (subject) values ($1) on conflict do nothing`;
const RESTORE = `delete from smtp_relay_ended_links where subject = $1`;
const LIST = `
  select split_part(subject, ' ', 1) as kind, substr(subject, strpos(subject, ' ') + 1) as id, ended_at as "endedAt"
    from smtp_relay_ended_links order by ended_at, subject`;

/** @returns false where they had ended before */
export async function endLinks(db: Queryable, subject: LinkSubject): Promise<boolean> {
  return (await db.query(END, [nameOf(subject)])).rowCount === 1;
}

/** @returns false where they had not ended */
export async function restoreLinks(db: Queryable, subject: LinkSubject): Promise<boolean> {
  return (await db.query(RESTORE, [nameOf(subject)])).rowCount === 1;
}

/** All of them, in the order in which they ended. */
export async function listEndedLinks(db: Queryable): Promise<EndedLinks[]> {
  return (await db.query<EndedLinks>(LIST)).rows;
}

function nameOf(subject: LinkSubject): string {
  return subject.kind === 'owner' ? `owner ${subject.owner}` : `message ${subject.emailId.toLowerCase()}`;
}
