import type pg from 'pg';
import type { Logger } from '../observability/log.ts';
import { READ_ONLY } from './unreachable.ts';

/** Milliseconds in which it is said once. */
const QUIET = 10_000;

/**
 * After a failover the address leads to another server, but connections that are open stay with the old one. When a
 * statement is refused because the server is read-only, all connections made so far are replaced: idle ones at once, the
 * others as soon as they come back.
 */
export function dropWhenReadOnly(pool: pg.Pool, logger: Logger): void {
  const open = new Set<pg.PoolClient>();
  const stale = new WeakSet<pg.PoolClient>();
  let saidAt = Number.NEGATIVE_INFINITY;

  function drop(): void {
    for (const client of open) stale.add(client);
    open.clear();
    for (let idle = pool.idleCount; idle > 0; idle -= 1) {
      // A released client that is ending is not kept.
      pool.connect().then(
        client => client.release(),
        error => logger.debug({ err: error }, 'no connection to replace'),
      );
    }
    if (performance.now() - saidAt < QUIET) return;
    saidAt = performance.now();
    logger.warn('the database is read-only, as after a failover; its connections are replaced');
  }

  pool.on('connect', client => {
    open.add(client);
    // No event of the client tells of statements that fail.
    client.connection.on('errorMessage', ({ code }: { readonly code?: string }) => {
      if (code === READ_ONLY && open.has(client)) drop();
    });
  });
  pool.on('release', (_error, client) => {
    if (stale.has(client)) client.end().catch(error => logger.debug({ err: error }, 'connection did not end well'));
  });
  pool.on('remove', client => open.delete(client));
}
