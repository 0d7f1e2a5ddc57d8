import { type Check, checkDmarc, type Dns, lookUp } from './check.ts';

/**
 * What DNS says of a domain that is sent from by a smarthost: that it is somebody's to send from (SPF, DMARC), and that bounces
 * arrive (MX, RFC 5321 section 5.1). DKIM is the smarthost's affair, and its selector is not known here. Nothing waits for any of it.
 */
export async function checkDomainBesideSes(dns: Dns, name: string): Promise<Check[]> {
  const [spf, bounces, dmarc] = await Promise.all([
    checkSpf(dns, name),
    checkBounces(dns, name),
    checkDmarc(dns, name),
  ]);
  return [spf, bounces, dmarc.state === 'missing' ? { ...dmarc, state: 'advice' } : dmarc];
}

async function checkSpf(dns: Dns, name: string): Promise<Check> {
  const what = `DNS ${name} TXT`;
  const found = await lookUp(async () => (await dns.resolveTxt(name)).map(strings => strings.join('')));
  if (typeof found === 'string') return { what, state: 'unknown', detail: found };
  const policies = found.filter(text => /^v=spf1(?: |$)/i.test(text));
  const [policy] = policies;
  if (policy === undefined) {
    const detail =
      'no SPF: publish one that has the addresses of the smarthost, such as "v=spf1 include:<smarthost> ~all"';
    return { what, state: 'advice', detail };
  }
  // RFC 7208 section 4.5: then none counts.
  if (policies.length > 1)
    return { what, state: 'missing', detail: `${policies.length} records of SPF, so none counts` };
  return { what, state: 'ok', detail: policy };
}

async function checkBounces(dns: Dns, name: string): Promise<Check> {
  const what = `DNS ${name} MX`;
  const exchanges = await lookUp(async () => (await dns.resolveMx(name)).map(({ exchange }) => exchange));
  if (typeof exchanges === 'string') return { what, state: 'unknown', detail: exchanges };
  // RFC 7505: a domain that takes no mail says so.
  if (exchanges.length > 0 && exchanges.some(host => host !== '' && host !== '.')) {
    return { what, state: 'ok', detail: exchanges.join(', ') };
  }
  const detail =
    'nobody takes mail for it, so bounces to MAIL FROM of this domain are lost, and some receivers refuse it';
  return { what, state: 'advice', detail };
}
