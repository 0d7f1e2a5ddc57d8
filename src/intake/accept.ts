import { recipientLimit } from '../config/derived.ts';
import type { Config } from '../config/schema.ts';
import type { Cancellation } from '../flow/cancellation.ts';
import type { FairScheduler } from '../flow/fair-scheduler.ts';
import { allAddresses } from '../message/addresses/recipients.ts';
import { freeMemory, freePieces, MAX_LINE, type MessageBytes, sha256 } from '../message/bytes.ts';
import type { ControlSettings } from '../message/header/control-headers.ts';
import type { LeftOutHeader } from '../message/header/row-headers.ts';
import type { MessageParts } from '../message/mime/parts.ts';
import type { Parser } from '../message/parser.ts';
import { policyRefusal, Refusal } from '../message/refusal.ts';
import type { OutboxJob } from '../message/send-job.ts';
import { type BodyText, bytesOf } from '../message/text/body-text.ts';
import type { Tracer } from '../observability/tracing.ts';
import { newOrderedId } from '../platform/uuid.ts';
import { transportLimits } from '../routing/routes.ts';
import type { UsageCount } from '../store/keys/usage.ts';
import type { IdempotencyClaim, IdempotencyOutcome, NewMessage, StoreOutcome } from '../store/messages/new-message.ts';
import { SMALL_MESSAGE } from './admission.ts';
import { buildRow } from './build-row.ts';
import { decideParties, suppressionRefusal } from './decide.ts';
import { type FactsSources, gatherFacts } from './facts.ts';
import type { HeaderReader } from './header-reader.ts';
import type { HeaderQuestion } from './header-steps.ts';
import type { OriginalKeeper } from './originals.ts';
import type { RateLimits } from './rate-limits.ts';
import { MessageCancellation, Steps, type StepTimes } from './steps.ts';
import type { ApiKey, Envelope, ReadHeader, Submission } from './submission.ts';

/** What the path of a message has at hand. */
export interface AcceptDependencies extends FactsSources {
  /** The generation that was in force at the end of the message. */
  readonly config: Config;
  readonly parser: Pick<Parser, 'parse' | 'needsThread'>;
  readonly headers: Pick<HeaderReader, 'isLong' | 'read'>;
  /** Has keys take turns with what needs a thread and memory. */
  readonly scheduler: FairScheduler;
  /** Whether mail may go to an address at all. */
  readonly isAllowed: (address: string) => boolean;
  readonly rates: RateLimits;
  readonly originals: OriginalKeeper;
  readonly store: (message: NewMessage, cancellation: Cancellation) => Promise<StoreOutcome>;
  readonly findRepeat: (userId: string, claim: IdempotencyClaim) => Promise<IdempotencyOutcome | null>;
  /** Publishes the send job of a message that has been committed. */
  readonly publish: (job: OutboxJob) => void;
  readonly stepTimes: StepTimes;
  readonly tracer: Tracer;
}

/** A message that is stored, or was before. */
export interface Accepted {
  /** As which it was sent. */
  readonly key: ApiKey;
  readonly emailId: string;
  /** The client sent it again under its idempotency key; nothing new was stored. */
  readonly repeated: boolean;
  /** It goes to the transport `capture`. */
  readonly captured: boolean;
  /** It goes to nobody, and is told of as if it had been sent. */
  readonly sandbox: boolean;
  /** Of the message. */
  readonly bytes: number;
  readonly recipients: number;
  /** Headers of it that the row cannot carry. */
  readonly leftOut: readonly LeftOutHeader[];
  /** When nothing was found against it, as `performance.now()` tells it; null where nothing new was stored. */
  readonly decidedAt: number | null;
}

/** A message on its way. */
interface Underway extends Submission {
  readonly key: ApiKey;
  readonly cancellation: Cancellation;
  readonly steps: Steps;
}

/**
 * The way of a message from the end of DATA to the reply: find its key, read its header, gather facts, decide what they tell,
 * read the rest, decide, store it in one commit unless a recipient is suppressed, publish its job. Large ones take turns. When this
 * resolves, the message is durable and the client may be told 250.
 *
 * @throws Refusal what the client is told; the reason of the signal that called it off; any other error is a fault of ours. Nothing
 * was accepted, but for OutcomeUnknown, which leaves that open
 */
export async function accept(submission: Submission, deps: AcceptDependencies): Promise<Accepted> {
  const { raw, callOff, findKey, span } = submission;
  const steps = new Steps(deps.stepTimes, deps.tracer, span, callOff.signal);
  const key = await steps.take('key', findKey);
  const cancellation = new MessageCancellation(callOff, key, findKey);
  const message = { ...submission, key, cancellation, steps };
  if (raw.length <= SMALL_MESSAGE && !deps.parser.needsThread(raw) && !deps.headers.isLong(raw)) {
    const began = performance.now();
    const accepted = await acceptInTurn(message, deps);
    deps.scheduler.passed(key.id, performance.now() - began);
    return accepted;
  }
  return deps.scheduler.add(key.id, raw.length, () => acceptInTurn(message, deps), cancellation.signal);
}

async function acceptInTurn(received: Underway, deps: AcceptDependencies): Promise<Accepted> {
  const { key, envelope, refused, arrival, longestLine, cancellation, steps } = received;
  const { config, rates } = deps;
  const keepOriginal = config.pipeline === 'standalone';
  const { sandbox = false } = key;
  if (sandbox && !keepOriginal) throw sandboxBesideOpenSend();
  const bytes = received.raw.length;
  const work = await steps.take('header', () =>
    deps.headers.read(received.raw, headerQuestion(received, deps), keepOriginal, cancellation.signal),
  );
  const { header } = work;
  const { sender } = header;
  const recipients = allAddresses(header.recipients);
  rates.check(key, recipients.length);
  const stored = await steps.take('facts', () =>
    gatherFacts(
      { key, sender, reversePath: envelope.reversePath, recipients: looksUpFirst(bytes, recipients) ? recipients : [] },
      deps,
    ),
  );
  const outside = recipients.filter(address => !deps.isAllowed(address));
  const captured = outside.length > 0 && config.recipientsElsewhere === 'capture';
  const way = captured ? { outside: [], foreignReturn: null, transport: transportLimits('capture') } : { outside };
  const facts = { ...stored, ...way, longLines: config.longLines };
  const unsigned = config.ses.clientSignatures === 'remove' && facts.transport.kind === 'ses';
  // What was stored before is not decided again.
  const early = header.control.idempotencyKey === null ? decideParties({ sender, recipients }, facts) : null;
  if (early) throw early;

  const { raw, parts, sha256 } = await steps.take('parse', () =>
    deps.parser.parse(
      received.raw,
      work.fields,
      { ...partsOptions(header.control, longestLine, config), unsigned },
      cancellation.signal,
    ),
  );
  try {
    const claim = await idempotencyClaim(header, envelope, parts);
    const earlier = claim && (await steps.take('repeat', () => deps.findRepeat(key.userId, claim)));
    const accepted = { key, captured, sandbox, bytes, recipients: recipients.length, leftOut: [], decidedAt: null };
    if (earlier) return { ...accepted, emailId: repeatedId(earlier), repeated: true };

    const contentFields = keepOriginal ? parts.contentFields : rewrittenContentFields(parts);
    const { mending } = parts;
    const subject = { sender, recipients, bytes, longestLine, contentFields, mending, unsigned };
    const refusal = await steps.take('decide', () => work.decide(subject, facts));
    if (refusal) throw refusal;

    const counted = rates.countOf(key, recipients.length);
    const trace = steps.span.context;
    const kept = { envelope, refused, arrival, captured, sandbox };
    const told = { id: newOrderedId(), userId: key.userId, ...kept, counted, suppressible: recipients, trace };
    const built = await steps.take('row', async () => {
      const content = await work.content(parts.attachments.length > 0);
      return buildRow({ ...told, raw, sha256, header, content, parts, claim }, keepOriginal);
    });
    const { row, leftOut } = built;
    const decidedAt = performance.now();
    const { originals } = deps;
    const put = () => originals.put(row, cancellation.signal);
    const message = originals.goesElsewhere(row) ? await steps.take('original', put) : row;
    const outcome = await steps.take('store', () => deps.store(message, cancellation));
    if (outcome.kind === 'over') throw rates.refusal(key, counted as UsageCount, outcome.usage);
    if (outcome.kind === 'suppressed') throw suppressionRefusal(outcome.addresses);
    if (outcome.kind !== 'stored') return { ...accepted, emailId: repeatedId(outcome), repeated: true };

    deps.publish(sendJobOf(message));
    return { ...accepted, emailId: message.id, repeated: false, leftOut, decidedAt };
  } finally {
    free(raw, parts);
  }
}

/** Recipients whom a statement for many messages may look up by itself. */
const FEW_RECIPIENTS = 50;

/**
 * The statement that stores a message looks its recipients up on the suppression list. Where it would be dear to have come so far for
 * nothing, or to have others wait for that, they are looked up before, too.
 */
function looksUpFirst(bytes: number, recipients: readonly string[]): boolean {
  return bytes > SMALL_MESSAGE || recipients.length > FEW_RECIPIENTS;
}

/** The next large message takes its place. */
function free(raw: MessageBytes, { text, html, attachmentsJson, contentApart }: MessageParts): void {
  freeMemory(raw);
  for (const bytes of [text, html, attachmentsJson]) if (bytes instanceof Uint8Array) freeMemory(bytes);
  freePieces(contentApart?.content ?? []);
}

function headerQuestion({ envelope, key }: Underway, { config, rates }: AcceptDependencies): HeaderQuestion {
  return {
    headerBytes: config.limits.headerBytes,
    recipientSource: config.recipients,
    envelope: envelope.recipients,
    mostRecipients: Math.min(recipientLimit(config), rates.mostRecipients(key)),
  };
}

function partsOptions(control: ControlSettings, longestLine: number, { limits, pipeline }: Config) {
  const keepOriginal = pipeline === 'standalone';
  return {
    mime: { depth: limits.mimeDepth, parts: limits.mimeParts, headerBytes: limits.headerBytes },
    attachmentBytes: limits.attachmentBytes,
    contents: !keepOriginal,
    breakLines: !keepOriginal,
    hashes: control.idempotencyKey !== null,
    longLines: keepOriginal && longestLine > MAX_LINE,
  };
}

/** OpenSend's worker writes the fields of its parts itself, with the names that the row has. */
function rewrittenContentFields({ attachments }: MessageParts) {
  return { fileNames: attachments.map(({ filename }) => filename), unreadable: null };
}

function repeatedId(outcome: IdempotencyOutcome): string {
  if (outcome.kind === 'conflict') throw idempotencyConflict();
  return outcome.id;
}

function sendJobOf({ id, userId, trace }: NewMessage): OutboxJob {
  return { emailId: id, userId, try: 0, ...trace, requestedAt: new Date() };
}

/**
 * What tells a message that is sent again under its idempotency key from another one. Date, Message-ID and MIME
 * boundaries do not count: a client that tries again writes them anew.
 *
 * @returns null where the client gave no key
 */
async function idempotencyClaim(
  header: ReadHeader,
  envelope: Envelope,
  parts: MessageParts,
): Promise<IdempotencyClaim | null> {
  const key = header.control.idempotencyKey;
  if (key === null) return null;
  const attachments = parts.attachments.map(({ filename, contentType, sha256 }) => [filename, contentType, sha256]);
  const bodies = [await bodyHash(parts.text), await bodyHash(parts.html)];
  return {
    key,
    envelopeHash: await digest([envelope.reversePath, [...allAddresses(header.recipients)].sort()]),
    contentHash: await digest([header.sender.from, header.subject, ...bodies, attachments]),
  };
}

/** OpenSend's worker would send it. Commands and documents make no such key there, so that it takes a person with SQL. */
function sandboxBesideOpenSend(): Refusal {
  const text = "This API key is in sandbox, which OpenSend's worker does not know: use a key that is not";
  return new Refusal({ code: 451, enhancedCode: '4.7.0', text, rule: 'sandbox' });
}

function idempotencyConflict(): Refusal {
  const text = 'This idempotency key was used for another message within 24 hours: use a new key';
  return policyRefusal('idempotency_conflict', text);
}

/** The same, whichever way the body is in memory. */
async function bodyHash(text: BodyText | null): Promise<string | null> {
  return text === null ? null : (await sha256(bytesOf(text))).toString('hex');
}

function digest(value: unknown): Buffer | Promise<Buffer> {
  return sha256(Buffer.from(JSON.stringify(value)));
}
