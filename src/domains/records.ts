import type { SesIdentity } from './identities.ts';

/** A record that belongs into the zone of a sending domain. */
export interface DnsRecord {
  readonly purpose: 'dkim' | 'mail-from' | 'spf' | 'dmarc' | 'tracking';
  /** Without a dot at its end. */
  readonly name: string;
  readonly type: 'CNAME' | 'MX' | 'TXT';
  /** As DNS answers it: a host name, `10 host` or a text without quotes. */
  readonly value: string;
  /** False for what is good to have, and nothing waits for. */
  readonly required: boolean;
}

export interface RecordsOptions {
  readonly identity: SesIdentity;
  readonly region: string;
  /** The domain's own tracking host and where it is to point; null without one. */
  readonly tracking: { readonly host: string; readonly target: string } | null;
}

const MX_PREFERENCE = 10;
/** Amazon SES Developer Guide, "Using a custom MAIL FROM domain". */
const SES_SPF = 'v=spf1 include:amazonses.com ~all';
/** RFC 7489 section 6.3; it asks for nothing, and mailbox providers want one to be there. */
const FIRST_DMARC = 'v=DMARC1; p=none;';
const SUGGESTED_MAIL_FROM = 'bounce';
const TTL = 3600;
const MAX_STRING = 255;

/** Where SES takes bounces of messages with a MAIL FROM domain of one's own. */
export function feedbackHost(region: string): string {
  return `feedback-smtp.${region}.amazonses.com`;
}

/**
 * The records of a domain that is sent from through SES: Easy DKIM, MAIL FROM with its SPF (RFC 7208), DMARC, tracking. Without
 * a MAIL FROM domain SES uses one of its own, whose SPF is its own affair; records for one are then a suggestion.
 */
export function dnsRecords({ identity, region, tracking }: RecordsOptions): DnsRecord[] {
  const { name, dkim, mailFrom } = identity;
  const from = mailFrom?.domain ?? `${SUGGESTED_MAIL_FROM}.${name}`;
  const required = mailFrom !== null;
  return [
    ...dkim.tokens.map(token => ({
      purpose: 'dkim' as const,
      name: `${token}._domainkey.${name}`,
      type: 'CNAME' as const,
      value: `${token}.${dkim.zone}`,
      required: true,
    })),
    { purpose: 'mail-from', name: from, type: 'MX', value: `${MX_PREFERENCE} ${feedbackHost(region)}`, required },
    { purpose: 'spf', name: from, type: 'TXT', value: SES_SPF, required },
    { purpose: 'dmarc', name: `_dmarc.${name}`, type: 'TXT', value: FIRST_DMARC, required: true },
    ...(tracking
      ? [{ purpose: 'tracking', name: tracking.host, type: 'CNAME', value: tracking.target, required: true } as const]
      : []),
  ];
}

const REMARKS: Readonly<Record<DnsRecord['purpose'], string>> = {
  dkim: 'DKIM: SES signs messages of this domain',
  'mail-from': 'MAIL FROM: bounces go back to SES',
  spf: 'SPF of the MAIL FROM domain',
  dmarc: 'DMARC: what receivers shall do with messages that are not signed; leave out if there is one already',
  tracking: 'Tracking: links and opens',
};

/** The records in the form of a zone file (RFC 1035 section 5), with a remark for each purpose; suggestions are commented out. */
export function zoneFile(records: readonly DnsRecord[]): string {
  const lines = records.flatMap((record, index) => {
    const { purpose, required } = record;
    const first = records[index - 1]?.purpose !== purpose;
    const remark = `; ${REMARKS[purpose]}${required ? '' : ' (a suggestion: needs --mail-from)'}`;
    return [...(first ? [remark] : []), `${required ? '' : '; '}${zoneLine(record)}`];
  });
  return lines.map(line => `${line}\n`).join('');
}

function zoneLine({ name, type, value }: DnsRecord): string {
  return `${name}. ${TTL} IN ${type} ${type === 'TXT' ? strings(value) : `${value}.`}`;
}

/** A text of more than 255 bytes is several strings (RFC 1035 section 3.3.14). */
function strings(text: string): string {
  const pieces = text.match(new RegExp(`.{1,${MAX_STRING}}`, 'gs')) ?? [''];
  return pieces.map(piece => `"${piece.replaceAll(/["\\]/g, '\\$&')}"`).join(' ');
}
