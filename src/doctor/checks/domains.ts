import pLimit from 'p-limit';
import { createRoutes } from '../../delivery/transport/routes.ts';
import { accountIn, type Check, type CheckState, checkAccount } from '../../domains/check.ts';
import { checkConfiguredDomain, withSes } from '../../domains/configured.ts';
import { SesIdentityError } from '../../domains/identities.ts';
import { type Domain, listDomains } from '../../store/owners/domains.ts';
import { advice, type DoctorParts, type Finding, type FindingState, ok, skipped } from '../finding.ts';

const STATES: Readonly<Record<CheckState, FindingState>> = {
  ok: 'ok',
  missing: 'failed',
  waiting: 'failed',
  unknown: 'advice',
  advice: 'advice',
};
/** More than these would take longer than anybody waits, since SES answers once a second. */
const MOST_DOMAINS = 10;
const AT_ONCE = 4;

/** What SES allows the account in the region that is configured. */
export async function checkSes({ config, role }: DoctorParts): Promise<Finding[]> {
  const why = whyNotBySes({ config, role });
  if (why !== null) return [skipped('SES', why)];
  const region = config.ses.region || config.awsRegion;
  const check = await withSes(config, region, ses => checkAccount(ses, region));
  return [describe(check, 'set AWS_REGION or SMTP_RELAY_SES_REGION, and allow ses:GetAccount (docs/iam.md)')];
}

/** Identity, DKIM, MAIL FROM with SPF, DMARC and tracking host of the domains that are sent from by SES. */
export async function checkDomains({ config, role, db, nameserver }: DoctorParts): Promise<Finding[]> {
  const what = 'sending domains';
  const why = whyNotBySes({ config, role });
  if (why !== null) return [skipped(what, why)];
  const { routeFor } = createRoutes(config);
  const domains = (await listDomains(db)).filter(({ name }) => routeFor(name).transport === 'ses');
  if (domains.length === 0) {
    return [advice(what, 'none that goes by SES', 'add one: smtp-relay domains add <domain> --owner <id> --ses')];
  }
  const limit = pLimit(AT_ONCE);
  const looked = domains.slice(0, MOST_DOMAINS);
  const found = await Promise.all(looked.map(domain => limit(() => checkOne(config, domain, nameserver))));
  const rest = domains.length - looked.length;
  const more = `${rest} more were not looked at`;
  return [
    ...withoutTwice(found.flat(), accountIn(config.ses.region || config.awsRegion)),
    ...(rest > 0 ? [advice(what, more, 'look at each with: smtp-relay domains check <domain>')] : []),
  ];
}

function whyNotBySes({ config, role }: Pick<DoctorParts, 'config' | 'role'>): string | null {
  if (config.pipeline === 'opensend') return "OpenSend's worker sends, with settings of its own";
  if (role === 'relay') return 'the worker sends';
  return createRoutes(config).all.some(({ transport }) => transport === 'ses') ? null : 'nothing goes by SES';
}

async function checkOne(config: DoctorParts['config'], domain: Domain, nameserver?: string): Promise<Finding[]> {
  try {
    const { checks } = await checkConfiguredDomain(config, domain, nameserver);
    const remedy = `set what is missing, then: smtp-relay domains check ${domain.name}`;
    const findings = checks.map(check => describe(check, remedy));
    const others = findings.filter(({ state }) => state !== 'ok');
    const right = findings.length - others.length;
    return [
      ...(right > 0 ? [ok(domain.name, `${right} of ${findings.length} records and settings are right`)] : []),
      ...others,
    ];
  } catch (error) {
    if (!(error instanceof SesIdentityError)) throw error;
    const remedy = 'allow it (docs/iam.md, "People who set domains up"), or look from where it is allowed';
    return [advice(domain.name, error.message, remedy)];
  }
}

function describe({ what, state, detail }: Check, remedy: string): Finding {
  return STATES[state] === 'ok' ? ok(what, detail) : { what, state: STATES[state], detail, remedy };
}

/** Domains of one region have one account, and the configured region's is told of elsewhere. */
function withoutTwice(findings: readonly Finding[], elsewhere: string): Finding[] {
  const told = new Set([elsewhere]);
  return findings.filter(({ what }) => {
    if (!what.startsWith(accountIn(''))) return true;
    const isNew = !told.has(what);
    told.add(what);
    return isNew;
  });
}
