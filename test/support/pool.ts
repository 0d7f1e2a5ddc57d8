import pg from 'pg';

/**
 * Connections for looking into a database that is dropped, or whose server goes away, while some of them are still open:
 * also when `end` has resolved, not all of them have ended. The caller ends the pool.
 */
export function openPool(connectionString: string, max = 10, options: Pick<pg.PoolConfig, 'Client'> = {}): pg.Pool {
  const pool = new pg.Pool({ connectionString, max, ...options });
  pool.on('error', () => {});
  return pool;
}
