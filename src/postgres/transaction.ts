import type pg from 'pg';

/**
 * Does work in a transaction whose statements each see what was committed before them, whatever the database's default is. Where
 * the work fails, nothing of it was done.
 *
 * @throws what the work throws, and the database's error
 */
export async function inTransaction<T>(pool: pg.Pool, work: (db: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query('begin isolation level read committed');
    const result = await work(client);
    await client.query('commit');
    client.release();
    return result;
  } catch (error) {
    // Closing the connection rolls back, whatever state it is in.
    client.release(true);
    throw error;
  }
}
