import { domainOf } from '../../message/addresses/address.ts';
import { MAX_LINE } from '../../message/bytes.ts';
import { mend } from '../../message/mending/mend.ts';
import type { MendingRules } from '../../message/mending/plan.ts';
import type { Logger } from '../../observability/log.ts';
import { transportLimits } from '../../routing/routes.ts';
import type { Claim } from '../../store/delivery/claims.ts';
import type { DomainSettings } from '../../store/owners/domain-lookup.ts';
import { type MarkedSource, rewriteMessage } from '../../tracking/rewrite.ts';
import { decideTracking } from '../../tracking/settings.ts';
import { createLinks, type Tokens } from '../../tracking/token.ts';
import type { KeptOriginal } from '../originals.ts';
import type { OutgoingMessage, Transport } from '../transport/contract.ts';
import { MessageUnread, type OutgoingBytes, type Preview } from './bytes.ts';
import { compose, type ReceivedMode, receivedField } from './compose.ts';
import {
  type LargeSizes,
  NeedsWhole,
  type Release,
  STREAMED_FROM,
  streamMessage,
  type WholeMessages,
} from './large-message.ts';

/** A message ready for its transport; each call adds its recipients. */
export interface Outgoing {
  readonly transport: Transport;
  readonly message: Omit<OutgoingMessage, 'recipients'>;
  /** To be called when it is not needed any more. */
  readonly release?: Release;
}

export interface OutgoingBuilder {
  /** What the message leaves by. */
  transportOf(claim: Claim): Promise<Transport>;
  /** null where the message is not kept any more. */
  build(claim: Claim): Promise<Outgoing | null>;
}

/** Rewrites a composed message for tracking, as its domain and the message itself ask for. */
export type Track = (
  raw: Buffer,
  message: {
    readonly claim: Claim;
    readonly fromDomain: string;
    readonly domain: DomainSettings | null;
    readonly source?: MarkedSource;
  },
) => Promise<Buffer>;

export interface OutgoingDependencies {
  readonly readRaw: (original: KeptOriginal) => Promise<Buffer | null>;
  readonly readSlice: (original: KeptOriginal, start: number, length: number) => Promise<Buffer | null>;
  readonly wholeMessages: WholeMessages;
  /** Bytes from which on a message is streamed; `STREAMED_FROM` unless given. */
  readonly streamedFrom?: number;
  readonly sizes?: LargeSizes;
  readonly findDomain: (userId: string, domain: string) => Promise<DomainSettings | null>;
  readonly transportFor: (fromDomain: string) => Promise<Transport>;
  /** What takes messages that are to go to nobody. */
  readonly captureTransport: () => Transport;
  readonly receivedHeader: () => ReceivedMode;
  /** Whether a client's DKIM signature is left out of what goes by SES. */
  readonly unsignedForSes: boolean;
  readonly track: Track;
  readonly logger: Logger;
}

/** Puts together which bytes go out, and who takes them. */
export function createOutgoingBuilder(dependencies: OutgoingDependencies): OutgoingBuilder {
  const { findDomain, transportFor, captureTransport } = dependencies;
  const transportOf = async ({ message }: Claim): Promise<Transport> =>
    message.captured ? captureTransport() : transportFor(domainOf(addressIn(message.from)));
  return {
    transportOf,
    async build(claim) {
      const { emailId, message } = claim;
      const from = addressIn(message.from);
      const fromDomain = domainOf(from);
      const { userId } = message;
      const domain = userId === null ? null : await findDomain(userId, fromDomain);
      const transport = await transportOf(claim);
      const recipe = recipeFor(dependencies, { claim, transport, fromDomain, domain });
      const bytes = await readBytes(dependencies, claim, recipe);
      if (bytes === null) return null;
      const { raw, release } = bytes;
      const { reversePath, bodyType, smtpUtf8, tags } = message;
      const outgoing = { emailId, userId, raw, reversePath, from, bodyType, smtpUtf8, tags, domain };
      return { transport, message: outgoing, ...(release && { release }) };
    },
  };
}

/** What makes of a stored message the one that goes out. */
interface Recipe {
  readonly rules: MendingRules;
  /** null where nobody wants to see a large one beforehand. */
  readonly preview: Preview | null;
  finish(mended: Buffer, source?: MarkedSource): Promise<Buffer>;
}

interface Question {
  readonly claim: Claim;
  readonly transport: Transport;
  readonly fromDomain: string;
  readonly domain: DomainSettings | null;
}

function recipeFor(
  { receivedHeader, unsignedForSes, track, logger }: OutgoingDependencies,
  { claim, transport, fromDomain, domain }: Question,
): Recipe {
  const { emailId, message } = claim;
  const { acceptedAt } = message;
  const received = receivedField(receivedHeader(), { emailId, ...message });
  const { messageBytes, lineBytes, strictTypes, smtpUtf8: takesUtf8 } = transportLimits(transport.kind);
  const unsigned = unsignedForSes && transport.kind === 'ses';
  // A client that did not ask for SMTPUTF8 may not write such domains, and does.
  const plainDomains = transport.kind === 'smtp' && !message.smtpUtf8;
  const options = { emailId, acceptedAt, fromDomain, plainAddresses: !takesUtf8, plainDomains, unsigned };
  return {
    rules: { lines: lineBytes <= MAX_LINE, types: strictTypes, unsigned },
    preview: transport.preview?.() ?? null,
    async finish(mended, source) {
      const composed = compose(mended, { ...options, received });
      const tracked = await track(composed, { claim, fromDomain, domain, ...(source && { source }) }).catch(error => {
        if (error instanceof NeedsWhole || error instanceof MessageUnread) throw error;
        // A message that cannot be tracked is still a message.
        logger.error({ emailId, err: error }, 'message not rewritten for tracking');
        return composed;
      });
      // What was small enough to be accepted goes out with nothing added rather than not at all.
      const plain = () => compose(mended, options);
      const sizeOf = (bytes: Buffer) => source?.sizeOf(bytes) ?? bytes.length;
      return [tracked, composed].find(bytes => sizeOf(bytes) <= messageBytes) ?? plain();
    },
  };
}

interface ReadBytes {
  readonly raw: OutgoingBytes;
  readonly release?: Release;
}

/** null where the message is not kept any more. */
async function readBytes(
  dependencies: OutgoingDependencies,
  { emailId, message }: Claim,
  { rules, preview, finish }: Recipe,
): Promise<ReadBytes | null> {
  const { readRaw, readSlice, wholeMessages, streamedFrom = STREAMED_FROM, sizes, logger } = dependencies;
  const { sizeBytes, userId, objectUrl } = message;
  const original = { emailId, sizeBytes, objectUrl };
  const whole = async (): Promise<Buffer | null> => {
    const stored = message.raw ?? (await readRaw(original));
    return stored === null ? null : finish(await mend(stored, rules));
  };
  if (sizeBytes < streamedFrom) {
    const raw = await whole();
    return raw && { raw };
  }
  const read = (start: number, length: number) => readSlice(original, start, length);
  const options = { ...(preview && { preview }), ...(sizes && { sizes }) };
  try {
    return { raw: await streamMessage({ sizeBytes, read, rules, finish, ...options }) };
  } catch (error) {
    if (error instanceof MessageUnread && error.isGone) return null;
    if (!(error instanceof NeedsWhole)) throw error;
    logger.debug({ emailId, sizeBytes, because: error.message }, 'a large message is sent from memory');
  }
  const release = await wholeMessages.enter(userId ?? '', sizeBytes);
  try {
    const raw = await whole();
    if (raw !== null) return { raw, release };
  } catch (error) {
    release();
    throw error;
  }
  release();
  return null;
}

/** The address of a mailbox as `emails.from` has it: `Name <address>`, or the address alone. */
export function addressIn(mailbox: string): string {
  return /<([^<>]*)>$/.exec(mailbox)?.[1] ?? mailbox;
}

export interface TrackOptions {
  /** Asked for at each message, so that a new secret signs at once. */
  readonly tokens: () => { readonly tokens: Tokens; readonly canSign: boolean };
  /** `TRACKING_BASE_URL`; empty where there is none. */
  readonly baseUrl: string;
  readonly logger: Logger;
}

/** Warnings about the same domain are this many milliseconds apart, at least. */
const WARNING_INTERVAL = 60_000;
const MAX_WARNED = 1_000;

/** Tracks messages where their domain or they themselves ask for it. */
export function createTrack({ tokens, baseUrl, logger }: TrackOptions): Track {
  const warned = new Map<string, number>();
  const warn = (domain: string, reason: string): void => {
    if (performance.now() - (warned.get(domain) ?? Number.NEGATIVE_INFINITY) < WARNING_INTERVAL) return;
    if (warned.size >= MAX_WARNED) warned.clear();
    warned.set(domain, performance.now());
    logger.warn({ domain, reason }, 'tracking is asked for but not possible: messages go out without it');
  };
  return async (raw, { claim, fromDomain, domain, source }) => {
    const { tokens: signer, canSign } = tokens();
    const decision = decideTracking({ message: claim.message, domain, baseUrl, canSign });
    if (decision.kind === 'impossible') warn(fromDomain, decision.reason);
    if (decision.kind !== 'on') return raw;
    const { opens, clicks } = decision;
    const links = { baseUrl: decision.baseUrl, emailId: claim.emailId, owner: claim.message.userId };
    return rewriteMessage(raw, { opens, clicks, ...(source && { source }), ...createLinks(signer, links) });
  };
}
