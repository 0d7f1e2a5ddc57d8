import { randomUUID } from 'node:crypto';
import { type ControlSettings, readControlHeaders } from '../message/control-headers.ts';
import { freeMemory } from '../message/free-memory.ts';
import { readHeaderFields } from '../message/header-fields.ts';
import { MAX_LINE } from '../message/mending/long-lines.ts';
import type { Parser } from '../message/parser.ts';
import type { MessageParts } from '../message/parts.ts';
import { allAddresses, refuseTooMany, resolveRecipients } from '../message/recipients.ts';
import type { LeftOutHeader } from '../message/sendable-headers.ts';
import { readSender } from '../message/sender.ts';
import { decide } from '../policy/decide.ts';
import { transportLimits } from '../policy/transport-limits.ts';
import type { SendJob } from '../queue/send-job.ts';
import type { IdempotencyClaim, IdempotencyOutcome } from '../store/idempotency.ts';
import type { UsageCount } from '../store/key-usage.ts';
import type { NewMessage, StoreOutcome } from '../store/new-message.ts';
import type { Standing } from '../store/standing.ts';
import { buildRow } from './build-row.ts';
import type { StoredFacts } from './facts.ts';
import type { RateLimits } from './rate-limits.ts';
import { idempotencyClaim, idempotencyConflict } from './repeat.ts';
import type { AcceptSettings, FactsQuestion, ReadHeader, Submission } from './submission.ts';

/** What the path of a message needs to be told and to have at hand. */
export interface AcceptDependencies {
  readonly settings: AcceptSettings;
  readonly parser: Pick<Parser, 'parse'>;
  readonly facts: (question: FactsQuestion) => Promise<StoredFacts>;
  /** Whether mail may go to an address at all. */
  readonly isAllowed: (address: string) => boolean;
  readonly rates: RateLimits;
  readonly store: (message: NewMessage, standing: Standing) => Promise<StoreOutcome>;
  readonly findRepeat: (userId: string, claim: IdempotencyClaim) => Promise<IdempotencyOutcome | null>;
  /** Publishes the send job of a message that has been committed. */
  readonly publish: (job: SendJob) => void;
}

/** A message that is stored, or was before. */
export interface Accepted {
  readonly emailId: string;
  /** The client sent it again under its idempotency key; nothing new was stored. */
  readonly repeated: boolean;
  /** It goes to the transport `capture`. */
  readonly captured: boolean;
  /** Of the message. */
  readonly bytes: number;
  readonly recipients: number;
  /** Headers of it that the row cannot carry. */
  readonly leftOut: readonly LeftOutHeader[];
}

/**
 * The way of a message from the end of DATA to the reply: read it, gather facts, decide, store it in one commit, publish
 * its job. When this resolves, the message is durable and the client may be told 250.
 *
 * @throws Refusal what the client is told; the reason of the standing's signal; any other error is a fault of ours. Nothing
 * was accepted, but for OutcomeUnknown, which leaves that open
 */
export async function accept(submission: Submission, deps: AcceptDependencies): Promise<Accepted> {
  const { owner, envelope, refused, arrival, longestLine, standing, steps } = submission;
  const header = steps.take('header', () => readHeader(submission, deps));
  const recipients = allAddresses(header.recipients);
  deps.rates.check(owner.key, recipients.length);
  const [{ raw, parts }, facts] = await bothSettled(
    steps.take('parse', () =>
      deps.parser.parse(
        submission.raw,
        header.fields,
        partsOptions(header.control, longestLine, deps.settings),
        standing.signal,
      ),
    ),
    steps.take('facts', () =>
      deps.facts({ owner, sender: header.sender, reversePath: envelope.reversePath, recipients }),
    ),
  );

  const claim = await idempotencyClaim(header, envelope, parts);
  const earlier = claim && (await steps.take('repeat', () => deps.findRepeat(owner.userId, claim)));
  const outside = recipients.filter(address => !deps.isAllowed(address));
  const captured = outside.length > 0 && deps.settings.recipientsElsewhere === 'capture';
  const accepted = { captured, bytes: raw.length, recipients: recipients.length, leftOut: [] };
  if (earlier) return { ...accepted, emailId: repeatedId(earlier), repeated: true };

  const { fields, sender } = header;
  const { longLines } = deps.settings;
  const contentFields = sentContentFields(parts, deps.settings);
  const { mending } = parts;
  const question = { sender, recipients, bytes: raw.length, longestLine, fields, contentFields, mending };
  const way = captured ? { outside: [], foreignReturn: null, transport: transportLimits('capture') } : { outside };
  const refusal = steps.take('decide', () => decide(question, { ...facts, ...way, longLines }));
  if (refusal) throw refusal;

  const counted = deps.rates.countOf(owner.key, recipients.length);
  const trace = steps.span.context;
  const told = { id: randomUUID(), owner, envelope, refused, arrival, captured, counted, trace };
  const built = await steps.take('row', () => buildRow({ ...told, raw, header, parts, claim }, deps.settings));
  const { row: message, leftOut } = built;
  const outcome = await steps.take('store', () => deps.store(message, standing));
  freeMemory(raw);
  if (outcome.kind === 'over') throw deps.rates.refusal(counted as UsageCount, outcome.usage);
  if (outcome.kind !== 'stored') return { ...accepted, emailId: repeatedId(outcome), repeated: true };

  deps.publish(sendJobOf(message));
  return { ...accepted, emailId: message.id, repeated: false, leftOut };
}

function readHeader({ raw, envelope, owner }: Submission, { settings, rates }: AcceptDependencies): ReadHeader {
  const fields = readHeaderFields(raw, settings.headerBytes);
  const sender = readSender(fields);
  const recipients = resolveRecipients(settings.recipientSource, envelope.recipients, fields);
  refuseTooMany(
    settings.recipientSource,
    recipients,
    Math.min(settings.recipientLimit, rates.mostRecipients(owner.key)),
  );
  return { fields, sender, recipients, control: readControlHeaders(fields) };
}

function partsOptions(control: ControlSettings, longestLine: number, settings: AcceptSettings) {
  return {
    mime: { depth: settings.mimeDepth, parts: settings.mimeParts, headerBytes: settings.headerBytes },
    attachmentBytes: settings.attachmentBytes,
    contents: !settings.keepOriginal,
    breakLines: !settings.keepOriginal,
    hashes: control.idempotencyKey !== null,
    longLines: settings.keepOriginal && longestLine > MAX_LINE,
  };
}

/** OpenSend's worker writes the fields of its parts itself, with the names that the row has. */
function sentContentFields({ attachments, contentFields }: MessageParts, { keepOriginal }: AcceptSettings) {
  return keepOriginal ? contentFields : { fileNames: attachments.map(({ filename }) => filename), unreadable: null };
}

/** Both, and not the first failure of one: what the other still works on counts as in flight. */
async function bothSettled<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([first, second]);
  return Promise.all([first, second]);
}

function repeatedId(outcome: IdempotencyOutcome): string {
  if (outcome.kind === 'conflict') throw idempotencyConflict();
  return outcome.id;
}

function sendJobOf({ id, userId, trace }: NewMessage): SendJob {
  return { emailId: id, userId, try: 0, ...trace, requestedAt: new Date() };
}
