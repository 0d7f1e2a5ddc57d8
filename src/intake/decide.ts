import { comparableDomain, domainOf, isAscii, localPartOf } from '../message/addresses/address.ts';
import type { Sender } from '../message/addresses/originators.ts';
import { mostBytesAdded } from '../message/header/sent-fields.ts';
import type { MendingFacts } from '../message/mending/mend.ts';
import type { LongLine } from '../message/mending/plan.ts';
import { policyRefusal, Refusal, sizeRefusal } from '../message/refusal.ts';
import type { TransportLimits } from '../routing/routes.ts';
import type { SesContent } from '../routing/ses-rules.ts';
import { NO_DOMAIN } from '../store/keys/domain.ts';

/** What the message itself says. */
export interface Subject extends SesContent {
  readonly sender: Sender;
  /** All recipients. */
  readonly recipients: readonly string[];
  readonly bytes: number;
  /** Bytes of the longest line, CRLF not counted. */
  readonly longestLine: number;
}

export type LongLines = 'encode' | 'refuse';

export type Parties = Pick<Subject, 'sender' | 'recipients'>;

/** What is known about its owner, and about the way it will take. */
export interface Facts {
  /** The only domain that the API key may send from; null where any, empty where none (`NO_DOMAIN`). */
  readonly keyDomain: string | null;
  /** The domain of From or Sender that is not one of the owner's; null where there is none, or that is not asked. */
  readonly foreignDomain: string | null;
  /** The domain of MAIL FROM, where bounces would go to it and it is not one of the owner's; else null. */
  readonly foreignReturn: string | null;
  /** Those of the recipients that were looked up and are on the owner's suppression list. */
  readonly suppressed: readonly string[];
  /** Those of the recipients that may get no mail from here. */
  readonly outside: readonly string[];
  readonly transport: TransportLimits;
  /** What is done with lines that are too long: the message is mended on its way out, or refused. */
  readonly longLines?: LongLines;
  /** Whether the message leaves as it was received; else it is rebuilt, and its size and lines are another's business. */
  readonly sentAsReceived: boolean;
}

/** Accepts (null) or refuses a message. Pure: facts in, decision out. */
export function decide(subject: Subject, facts: Facts): Refusal | null {
  return (
    decideParties(subject, facts) ??
    (facts.sentAsReceived ? checkTransport(subject, facts) : null) ??
    facts.transport.refuse(subject, facts.sentAsReceived)
  );
}

/** As far as sender and recipients tell, for which nothing but a few fields has to be read. */
export function decideParties(parties: Parties, facts: Facts): Refusal | null {
  return (
    checkIdentity(parties.sender, facts) ??
    checkReturn(facts.foreignReturn) ??
    checkLocalParts(parties, facts.transport) ??
    checkAllowList(facts.outside) ??
    (facts.suppressed.length > 0 ? suppressionRefusal(facts.suppressed) : null)
  );
}

function checkIdentity({ from, sender }: Sender, facts: Facts): Refusal | null {
  const fromDomain = domainOf(from.address);
  if (facts.keyDomain !== null) {
    if (facts.keyDomain === NO_DOMAIN) return policyRefusal('key_domain', KEY_WITHOUT_DOMAIN);
    const allowed = comparableDomain(facts.keyDomain);
    if (fromDomain !== allowed) return wrongDomain('From', fromDomain, allowed);
    if (sender && domainOf(sender.address) !== allowed) return wrongDomain('Sender', domainOf(sender.address), allowed);
  }
  if (facts.foreignDomain !== null) {
    const text = `${facts.foreignDomain} is not one of your domains: add it, or send from one that is`;
    return policyRefusal('domain_not_owned', text);
  }
  return null;
}

/** Whoever chooses where bounces go could have them sent to anybody. */
function checkReturn(foreignDomain: string | null): Refusal | null {
  if (foreignDomain === null) return null;
  const text = `MAIL FROM is at ${foreignDomain}, which is not one of your domains, and bounces would go there: send from an address at one of yours, or from <>`;
  return policyRefusal('return_path', text);
}

/** How the key is stored is nobody's business but the owner's dashboard's. */
const KEY_WITHOUT_DOMAIN =
  'This API key is restricted to a domain that is not one of your domains any more: use another key, or restrict it anew';

function wrongDomain(header: 'From' | 'Sender', domain: string, allowed: string): Refusal {
  const text = `This API key may only send from ${allowed}, but the ${header} address is at ${domain}`;
  return policyRefusal('key_domain', text);
}

/** RFC 6531 section 3.5: a server that cannot pass such an address on says so at once. */
function checkLocalParts({ sender, recipients }: Parties, transport: TransportLimits): Refusal | null {
  if (transport.smtpUtf8) return null;
  const isForeign = (address: string): boolean => !isAscii(localPartOf(address));
  return [sender.from.address, ...recipients].some(isForeign) ? unsupportedLocalPart() : null;
}

/** `553 5.6.7`: an address needs SMTPUTF8, which the transport does not have. Replies are ASCII, so it is not named. */
export function unsupportedLocalPart(): Refusal {
  return foreignLocalPart('which cannot be delivered: use an ASCII address');
}

/** `553 5.6.7`: an address needs SMTPUTF8, and MAIL did not say so. */
export function undeclaredLocalPart(): Refusal {
  return foreignLocalPart('and needs the SMTPUTF8 parameter of MAIL');
}

function foreignLocalPart(why: string): Refusal {
  const text = `An address has other characters than ASCII before the @, ${why}`;
  return new Refusal({ code: 553, enhancedCode: '5.6.7', text, rule: 'smtputf8' });
}

function checkAllowList([first, ...others]: readonly string[]): Refusal | null {
  return first === undefined ? null : outsideRefusal(first, others.length);
}

/** `550 5.7.1`: this installation sends to a few only. @param more how many others are outside too */
export function outsideRefusal(address: string, more = 0): Refusal {
  const are = more === 0 ? 'is' : `and ${more} more are`;
  return policyRefusal('recipient_allow_list', `${address} ${are} not among those that this relay may send to`);
}

/** `550 5.7.1`: these recipients, one at least, are on the owner's suppression list. */
export function suppressionRefusal([first, ...others]: readonly string[]): Refusal {
  const are = others.length === 0 ? 'is' : `and ${others.length} more are`;
  return policyRefusal(
    'suppressed',
    `${first} ${are} on your suppression list: remove suppressed recipients and send again`,
  );
}

function checkTransport(subject: Subject, { transport, longLines = 'encode' }: Facts): Refusal | null {
  const { bytes, longestLine, mending } = subject;
  if (bytes > transport.messageBytes) return tooLarge(transport, '');
  const refusal = longestLine > transport.lineBytes ? checkLines(transport, longLines, mending) : null;
  if (refusal) return refusal;
  const sent = mending?.bytes ?? bytes;
  // What is added is a part of the header: far from the limit it need not be counted.
  const added = sent > transport.messageBytes / 2 ? mostBytesAdded(subject.fields, !transport.smtpUtf8) : 0;
  if (sent + added <= transport.messageBytes) return null;
  return tooLarge(transport, sent > bytes ? ' once its long lines are encoded' : '');
}

function tooLarge({ messageBytes }: TransportLimits, when: string): Refusal {
  return sizeRefusal('transport_size', `The message is larger than ${messageBytes} bytes${when}: send less or a link`);
}

const SHORTEN: Readonly<Record<LongLine['kind'], string>> = {
  field: 'fold it at white space',
  content: 'encode the part as quoted-printable or base64',
};

/** Lines of what does not go out are nobody's business: `firstLong` is null then. */
function checkLines(
  { lineBytes }: TransportLimits,
  longLines: LongLines,
  mending: MendingFacts | undefined,
): Refusal | null {
  const isLonger = (place: string): string => `A line${place} is longer than ${lineBytes} bytes`;
  if (mending === undefined) return lineRefusal(`${isLonger('')}: ${SHORTEN.content}`);
  const { firstLong, fault } = mending;
  if (longLines === 'refuse' && firstLong) {
    return lineRefusal(`${isLonger(` of ${firstLong.place}`)}: ${SHORTEN[firstLong.kind]}`);
  }
  if (fault === null) return null;
  const what = isLonger(` of ${fault.place}`);
  if (fault.sealed)
    return lineRefusal(`${what}, and it is signed or encrypted as it is: make lines shorter before that`);
  return lineRefusal(
    fault.kind === 'field' ? `${what} and cannot be folded: shorten it` : `${what}: ${SHORTEN.content}`,
  );
}

function lineRefusal(text: string): Refusal {
  return new Refusal({ code: 554, enhancedCode: '5.6.0', text, rule: 'line_length' });
}
