import { databaseLogin, migrationsLogin } from '../config/derived.ts';
import type { LiveConfig } from '../config/live.ts';
import type { Context } from '../context.ts';
import type { Logger } from '../observability/log.ts';
import type { PatientPool } from '../postgres/patient-pool.ts';
import { createPool } from '../postgres/pool.ts';
import { Preparation } from './schema/preparation.ts';

/** A pool as the configuration has it; a new password counts for its new connections. */
export function createConfiguredPool(live: LiveConfig, logger: Logger): PatientPool {
  const databaseUrl = () => databaseLogin(live.current);
  const { database, preparedStatements } = live.current;
  const options = { ...database, databaseUrl, preparedStatements };
  return createPool(options, logger.child({ room: 'store' }));
}

export function createConfiguredPreparation({ live, pool, logger }: Context): Preparation {
  const { pipeline, migrations, database } = live.current;
  return new Preparation({
    databaseUrl: () => migrationsLogin(live.current),
    pool,
    pipeline,
    migrations,
    connectTimeout: database.connectTimeout,
    logger: logger.child({ room: 'store' }),
  });
}
