import pLimit from 'p-limit';
import { createRoutes } from '../../delivery/transport/routes.ts';
import { checkDomainBesideSes } from '../../domains/beside-ses.ts';
import { accountIn, type Check, type CheckState, checkAccount } from '../../domains/check.ts';
import { checkConfiguredDomain, createResolver, withSes } from '../../domains/configured.ts';
import { SesIdentityError } from '../../domains/identities.ts';
import { type Domain, listDomains, normaliseDomain } from '../../store/owners/domains.ts';
import { advice, type DoctorParts, type Finding, type FindingState, ok, skipped } from '../finding.ts';
import { routesInForce } from '../routes-in-force.ts';

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

/**
 * Identity, DKIM, MAIL FROM with SPF, DMARC and tracking host of the domains that are sent from by SES; SPF, MX and DMARC of those that
 * go by a smarthost.
 */
export async function checkDomains({ config, role, db, nameserver }: DoctorParts): Promise<Finding[]> {
  const what = 'sending domains';
  const why = whyNotHere({ config, role });
  if (why !== null) return [skipped(what, why)];
  const { routes } = await routesInForce({ config, db });
  if (routes.all.every(({ transport }) => transport === 'capture'))
    return [skipped(what, 'nothing leaves this machine')];
  const domains = (await listDomains(db)).filter(({ name }) => routes.routeFor(name).transport !== 'capture');
  if (domains.length === 0) {
    const remedy = 'add one: smtp-relay domains add <domain> --owner <id>, for SES with --ses';
    return [advice(what, 'none that goes out', remedy)];
  }
  const limit = pLimit(AT_ONCE);
  const looked = domains.slice(0, MOST_DOMAINS);
  const look = (domain: Domain) =>
    routes.routeFor(domain.name).transport === 'ses'
      ? checkBySes(config, domain, nameserver)
      : checkBesideSes(domain, nameserver);
  const found = await Promise.all(looked.map(domain => limit(() => look(domain))));
  const rest = domains.length - looked.length;
  const more = `${rest} more were not looked at`;
  return [
    ...withoutTwice(found.flat(), accountIn(config.ses.region || config.awsRegion)),
    ...(rest > 0 ? [advice(what, more, 'look at each with: smtp-relay domains check <domain>')] : []),
  ];
}

function whyNotHere({ config, role }: Pick<DoctorParts, 'config' | 'role'>): string | null {
  if (config.pipeline === 'opensend') return "OpenSend's worker sends, with settings of its own";
  return role === 'relay' ? 'the worker sends' : null;
}

function whyNotBySes(parts: Pick<DoctorParts, 'config' | 'role'>): string | null {
  const { config } = parts;
  return whyNotHere(parts) ?? (goesBySes(config) ? null : 'nothing goes by SES');
}

function goesBySes(config: DoctorParts['config']): boolean {
  return createRoutes(config).all.some(({ transport }) => transport === 'ses');
}

async function checkBesideSes({ name }: Domain, nameserver?: string): Promise<Finding[]> {
  const checks = await checkDomainBesideSes(createResolver(nameserver), normaliseDomain(name));
  return summarise(name, checks, 'publish it in the zone of the domain');
}

async function checkBySes(config: DoctorParts['config'], domain: Domain, nameserver?: string): Promise<Finding[]> {
  try {
    const { checks } = await checkConfiguredDomain(config, domain, nameserver);
    const remedy = `set what is missing, then: smtp-relay domains check ${domain.name}`;
    return summarise(domain.name, checks, remedy);
  } catch (error) {
    if (!(error instanceof SesIdentityError)) throw error;
    const remedy = 'allow it (docs/iam.md, "People who set domains up"), or look from where it is allowed';
    return [advice(domain.name, error.message, remedy)];
  }
}

/** What is right in one line, and each of the others. */
function summarise(domain: string, checks: readonly Check[], remedy: string): Finding[] {
  const findings = checks.map(check => describe(check, remedy));
  const others = findings.filter(({ state }) => state !== 'ok');
  const right = findings.length - others.length;
  return [
    ...(right > 0 ? [ok(domain, `${right} of ${findings.length} records and settings are right`)] : []),
    ...others,
  ];
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
