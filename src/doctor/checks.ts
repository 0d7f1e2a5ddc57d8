import { checkBucket } from './checks/bucket.ts';
import { checkCertificate } from './checks/certificate.ts';
import { checkConfiguration } from './checks/configuration.ts';
import { checkConnection } from './checks/database.ts';
import { checkDomains, checkSes } from './checks/domains.ts';
import { checkEvents, checkJobs } from './checks/queue.ts';
import { checkRights } from './checks/rights.ts';
import { checkSchema } from './checks/schema.ts';
import { checkSmtpPorts } from './checks/smtp-ports.ts';
import { checkWaysOut } from './checks/ways-out.ts';
import { checkPublicUrl, checkReadiness } from './checks/web.ts';
import type { DoctorCheck } from './finding.ts';

/** All there is to look at, in the order in which it is told. */
export const CHECKS: readonly DoctorCheck[] = [
  { name: 'configuration', run: checkConfiguration },
  { name: 'database', run: checkConnection },
  { name: 'schema', needs: 'database', run: checkSchema },
  { name: 'rights', needs: 'schema', run: checkRights },
  { name: 'queue', run: checkJobs },
  { name: 'events', run: checkEvents },
  { name: 'bucket', run: checkBucket },
  { name: 'ses', run: checkSes },
  { name: 'domains', needs: 'schema', run: checkDomains },
  { name: 'routes', run: checkWaysOut },
  { name: 'certificate', run: checkCertificate },
  { name: 'ports', run: checkSmtpPorts },
  { name: 'readiness', run: checkReadiness },
  { name: 'public-url', run: checkPublicUrl },
];
