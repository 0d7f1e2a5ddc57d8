import { createHash } from 'node:crypto';
import type pg from 'pg';

/** The part of a client that is wrapped. */
type Query = (text: unknown, values?: unknown, callback?: unknown) => unknown;

const HASH_DIGITS = 24;

/**
 * Lets a client give each statement with parameters a name, the same for the same text, so that Postgres parses it once a
 * session and plans it a few times at most (PostgreSQL, PREPARE, "Notes"). Only for sessions that are ours alone.
 */
export function nameStatements(client: pg.ClientBase): void {
  const query = client.query.bind(client) as Query;
  const names = new Map<string, string>();
  const nameOf = (text: string): string => {
    const name =
      names.get(text) ?? `smtp_relay_${createHash('sha256').update(text).digest('hex').slice(0, HASH_DIGITS)}`;
    names.set(text, name);
    return name;
  };
  const named: Query = (text, values, callback) =>
    typeof text === 'string' && Array.isArray(values)
      ? query({ name: nameOf(text), text, values }, callback)
      : query(text, values, callback);
  client.query = named as typeof client.query;
}
