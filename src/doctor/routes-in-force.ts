import { createRoutes, type Routes } from '../delivery/transport/routes.ts';
import { reportInTime } from '../http/dependency-checks.ts';
import { createLogger } from '../observability/log.ts';
import { createConfiguredRoutes } from '../routing/declared-routes.ts';
import { type DoctorParts, type Finding, failed, skipped } from './finding.ts';

/** Milliseconds; what is configured is looked at also where the database hangs. */
const TIME_LIMIT = 3_000;

/** Ways out as a worker has them now, and what is the matter with those that documents declare. */
export interface RoutesInForce {
  readonly routes: Routes;
  readonly findings: readonly Finding[];
}

/** Routes of the configuration and declared ones. Never rejects: where the database tells of none, there are those of the configuration. */
export async function routesInForce({ config, db }: Pick<DoctorParts, 'config' | 'db'>): Promise<RoutesInForce> {
  const findings: Finding[] = [];
  // What cannot be used is told of there, and left out.
  const destination = {
    write: (line: string) => {
      const { route, err } = JSON.parse(line) as { route?: string; err?: { message?: string } };
      const remedy = 'mend its document, or remove it; smtp-relay resources list shows it (docs/resources.md)';
      if (route !== undefined) findings.push(failed(`route ${route}`, `it cannot be used: ${err?.message}`, remedy));
    },
  };
  const logger = createLogger({ level: 'error', format: 'json', destination });
  const { current } = createConfiguredRoutes({ current: config }, db, logger);
  const declared = await reportInTime(current, TIME_LIMIT)();
  if (declared === null) findings.push(skipped('declared routes', 'the database does not tell of them'));
  return { routes: createRoutes({ ...config, routes: [...config.routes, ...(declared ?? [])] }), findings };
}
