import type { Resolver } from 'node:dns/promises';
import type { DomainSettings } from '../store/owners/domain-lookup.ts';
import { decideTracking } from '../tracking/settings.ts';
import type { SesAccount, SesConfigurationSet, SesIdentity } from './identities.ts';
import { type DnsRecord, dnsRecords, feedbackHost } from './records.ts';

/**
 * `ok`; `missing`: something is to be done; `waiting`: SES has not looked yet; `unknown`: it could not be found out; `advice`:
 * works without.
 */
export type CheckState = 'ok' | 'missing' | 'waiting' | 'unknown' | 'advice';

export interface Check {
  readonly what: string;
  readonly state: CheckState;
  /** What was found, or what to do. */
  readonly detail: string;
}

/** As `node:dns/promises` has it. */
export type Dns = Pick<Resolver, 'resolveCname' | 'resolveMx' | 'resolveTxt' | 'resolve4' | 'resolve6'>;

/** Where domains are set up at SES (`identities.ts`). */
export interface SesLookup {
  find(domain: string): Promise<SesIdentity | null>;
  account(): Promise<SesAccount>;
  configurationSet(name: string): Promise<SesConfigurationSet | null>;
}

export interface DomainCheckOptions {
  readonly domain: DomainSettings;
  readonly ses: SesLookup;
  readonly dns: Dns;
  /** `TRACKING_BASE_URL`; empty without. */
  readonly trackingBaseUrl: string;
  /** Whether there is a secret to sign tracking links with. */
  readonly canSign: boolean;
  /** The configuration set of domains without one; empty without. */
  readonly defaultConfigurationSet: string;
}

export interface DomainReport {
  readonly identity: SesIdentity | null;
  readonly checks: readonly Check[];
  /** Nothing is missing, and nothing is left to wait for. */
  readonly complete: boolean;
}

/** Looks whether everything is there that messages from a domain need. @throws the error of SES, which has to be asked first */
export async function checkDomain(options: DomainCheckOptions): Promise<DomainReport> {
  const { domain, ses } = options;
  const identity = await ses.find(domain.name);
  const checks = [
    ...checkIdentity(domain, identity),
    ...(identity ? await checkRecords(options, identity) : []),
    await checkDmarc(options.dns, domain.name),
    ...(await checkTracking(options)),
    await checkConfigurationSet(options),
    await checkAccount(ses, domain.region),
  ];
  return { identity, checks, complete: checks.every(({ state }) => state === 'ok' || state === 'advice') };
}

/** The domain's own tracking host and where it is to point; null where it has none, or it is not known where. */
export function trackingHost(
  domain: DomainSettings,
  trackingBaseUrl: string,
): { readonly host: string; readonly target: string } | null {
  if (!domain.trackingSubdomain || trackingBaseUrl === '') return null;
  const decision = decideTracking({ message: BOTH, domain, baseUrl: trackingBaseUrl, canSign: true });
  if (decision.kind !== 'on') return null;
  const [host, target] = [new URL(decision.baseUrl).hostname, new URL(trackingBaseUrl).hostname];
  return host === target ? null : { host, target };
}

const BOTH = { trackOpens: true, trackClicks: true };
const AS_DOMAIN = { trackOpens: null, trackClicks: null };

function checkIdentity({ name, region }: DomainSettings, identity: SesIdentity | null): Check[] {
  if (!identity) {
    const detail = `SES in ${region} does not know ${name}; run: smtp-relay domains add ${name} --ses`;
    return [{ what: 'SES identity', state: 'missing', detail }];
  }
  const { verified, dkim, mailFrom } = identity;
  return [
    { what: 'SES identity', state: verified ? 'ok' : 'waiting', detail: verified ? 'verified' : 'not verified yet' },
    { what: 'SES DKIM', state: stateOf(dkim.status), detail: dkim.status },
    mailFrom
      ? { what: 'SES MAIL FROM', state: stateOf(mailFrom.status), detail: `${mailFrom.domain}: ${mailFrom.status}` }
      : { what: 'SES MAIL FROM', state: 'advice', detail: "SES's own, so SPF does not speak for this domain" },
  ];
}

function stateOf(status: string): CheckState {
  if (status === 'SUCCESS') return 'ok';
  return status === 'PENDING' || status === 'TEMPORARY_FAILURE' ? 'waiting' : 'missing';
}

async function checkRecords({ domain, dns }: DomainCheckOptions, identity: SesIdentity): Promise<Check[]> {
  const records = dnsRecords({ identity, region: domain.region, tracking: null });
  const needed = records.filter(({ purpose, required }) => required && purpose !== 'dmarc');
  return Promise.all(needed.map(record => checkRecord(dns, record, domain.region)));
}

async function checkRecord(dns: Dns, record: DnsRecord, region: string): Promise<Check> {
  const what = `DNS ${record.name} ${record.type}`;
  const found = await lookUp(() => answersOf(dns, record));
  if (typeof found === 'string') return { what, state: 'unknown', detail: found };
  const good = found.some(answer => answersTo(record, answer, region));
  if (good) return { what, state: 'ok', detail: record.value };
  const instead = found.length > 0 ? `, but it is ${found.join(' and ')}` : '';
  return { what, state: 'missing', detail: `it should be ${record.value}${instead}` };
}

async function answersOf(dns: Dns, { name, type }: DnsRecord): Promise<string[]> {
  if (type === 'CNAME') return dns.resolveCname(name);
  if (type === 'MX') return (await dns.resolveMx(name)).map(({ priority, exchange }) => `${priority} ${exchange}`);
  return (await dns.resolveTxt(name)).map(strings => strings.join(''));
}

function answersTo({ purpose, value }: DnsRecord, answer: string, region: string): boolean {
  if (purpose === 'mail-from') return sameHost(answer.replace(/^\d+ /, ''), feedbackHost(region));
  if (purpose === 'spf') return /^v=spf1 /i.test(answer) && /\binclude:amazonses\.com\b/i.test(answer);
  return sameHost(answer, value);
}

/** A domain without a record of its own is under that of a domain above it (RFC 7489 section 6.6.3). */
export async function checkDmarc(dns: Dns, name: string): Promise<Check> {
  const what = `DNS _dmarc.${name} TXT`;
  const labels = name.split('.');
  for (let above = 0; above < labels.length - 1; above += 1) {
    const host = `_dmarc.${labels.slice(above).join('.')}`;
    const found = await lookUp(async () => (await dns.resolveTxt(host)).map(strings => strings.join('')));
    if (typeof found === 'string') return { what, state: 'unknown', detail: found };
    const policy = found.find(text => /^v=DMARC1\b/i.test(text));
    if (policy !== undefined) return { what, state: 'ok', detail: above === 0 ? policy : `${policy} (of ${host})` };
  }
  return { what, state: 'missing', detail: 'there is none; mailbox providers want one, if only "v=DMARC1; p=none;"' };
}

async function checkTracking({ domain, dns, trackingBaseUrl, canSign }: DomainCheckOptions): Promise<Check[]> {
  const decision = decideTracking({ message: AS_DOMAIN, domain, baseUrl: trackingBaseUrl, canSign });
  if (decision.kind === 'off') return [];
  if (decision.kind === 'impossible') {
    const detail =
      decision.reason === 'no_secret'
        ? 'nothing is tracked without TRACKING_SECRET'
        : 'nothing is tracked without --tracking-subdomain or TRACKING_BASE_URL';
    return [{ what: 'tracking', state: 'missing', detail }];
  }
  const host = new URL(decision.baseUrl).hostname;
  const what = `DNS ${host}`;
  const target = trackingHost(domain, trackingBaseUrl)?.target;
  const found = await lookUp(async () => [
    ...(await orNone(dns.resolve4(host))),
    ...(await orNone(dns.resolve6(host))),
  ]);
  if (typeof found === 'string') return [{ what, state: 'unknown', detail: found }];
  if (found.length > 0) return [{ what, state: 'ok', detail: `tracking links lead to ${found.join(', ')}` }];
  const wanted = target ? `it should be a CNAME of ${target}` : 'it should lead to the public listener of the workers';
  return [{ what, state: 'missing', detail: wanted }];
}

async function checkConfigurationSet({ domain, ses, defaultConfigurationSet }: DomainCheckOptions): Promise<Check> {
  const what = 'SES configuration set';
  const name = domain.configurationSet ?? defaultConfigurationSet;
  const enforced = domain.tls === 'enforced';
  if (name === '') {
    return enforced
      ? { what, state: 'missing', detail: 'tls=enforced needs a configuration set that requires TLS' }
      : { what, state: 'advice', detail: 'none, so SES tells nothing of deliveries, bounces and complaints' };
  }
  const found = await attempt(() => ses.configurationSet(name));
  if (found instanceof Error) return { what, state: 'unknown', detail: found.message };
  if (!found) return { what, state: 'missing', detail: `SES in ${domain.region} has none of the name ${name}` };
  if (enforced && !found.requiresTls) {
    return {
      what,
      state: 'missing',
      detail: `tls=enforced, but ${name} does not require TLS (DeliveryOptions.TlsPolicy)`,
    };
  }
  return { what, state: 'ok', detail: name };
}

/** What the account may send in a region. Never rejects. */
export async function checkAccount(ses: Pick<SesLookup, 'account'>, region: string): Promise<Check> {
  const what = accountIn(region);
  const account = await attempt(() => ses.account());
  if (account instanceof Error) return { what, state: 'unknown', detail: account.message };
  if (!account.sendingEnabled) return { what, state: 'missing', detail: 'sending is paused' };
  const { maxSendRate, max24HourSend, sentLast24Hours } = account;
  const quota = `${maxSendRate ?? '?'} recipients/s, ${sentLast24Hours ?? '?'} of ${max24HourSend ?? '?'} in 24 hours`;
  if (!account.production) {
    const detail = `in the sandbox, so only verified addresses are sent to; ask AWS for production access (${quota})`;
    return { what, state: 'missing', detail };
  }
  const isNearlyUsed = (sentLast24Hours ?? 0) >= NEARLY_USED * (max24HourSend ?? Number.POSITIVE_INFINITY);
  return isNearlyUsed
    ? { what, state: 'advice', detail: `the quota is nearly used: ${quota}; ask AWS for a higher one` }
    : { what, state: 'ok', detail: quota };
}

/** Of the quota of a day. */
const NEARLY_USED = 0.8;

/** How checks name the account in a region, which domains share. */
export function accountIn(region: string): string {
  return `SES account in ${region}`;
}

/** Answers; none where the name has no such record; the text of the error where DNS could not say. */
export async function lookUp(query: () => Promise<string[]>): Promise<string[] | string> {
  const found = await attempt(() => orNone(query()));
  return found instanceof Error ? `DNS does not say: ${found.message}` : found;
}

async function orNone<T>(answers: Promise<T[]>): Promise<T[]> {
  return answers.catch(error => {
    if (error?.code === 'ENODATA' || error?.code === 'ENOTFOUND') return [];
    throw error;
  });
}

async function attempt<T>(work: () => Promise<T>): Promise<T | Error> {
  return work().catch(error => (error instanceof Error ? error : new Error(String(error))));
}

function sameHost(a: string, b: string): boolean {
  return a.replace(/\.$/, '').toLowerCase() === b.replace(/\.$/, '').toLowerCase();
}
