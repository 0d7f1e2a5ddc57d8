import { createOriginals } from '../../delivery/originals.ts';
import { StoreError } from '../../postgres/errors.ts';
import { type EmailStory, readEmailStory } from '../../store/emails/show.ts';
import { eventKind } from '../../store/event-types.ts';
import { findArrival, type KeptArrival } from '../../store/sessions/arrivals.ts';
import type { Details, PartInfo, Recipient, Summary } from '../contract.ts';
import type { Inbox } from '../inbox.ts';
import { asksOthers } from './safe-html.ts';
import { type Part, Structure } from './structure.ts';
import { pendingOf, timelineOf } from './timeline.ts';

/** A stored message as the inbox shows it. */
export interface ReadMessage {
  readonly story: EmailStory;
  /** As received; null where it is not kept any more. */
  readonly raw: Buffer | null;
  readonly structure: Structure | null;
  /** What was said in its session; null where that is not kept. */
  readonly arrival: KeptArrival | null;
}

/** The whole story of a message. @throws StoreError `not-found`, also where it goes to people and only others may be seen */
export async function readStory(
  { pool, onlyCaptured }: Pick<Inbox, 'pool' | 'onlyCaptured'>,
  id: string,
): Promise<EmailStory> {
  const story = await readEmailStory(pool, id);
  if (onlyCaptured() && !story.raw?.captured)
    throw new StoreError('not-found', `no captured message has the id "${id}"`, 'emails');
  return story;
}

/** The same with its bytes. @throws StoreError as `readStory` */
export async function readMessage(
  inbox: Pick<Inbox, 'pool' | 'objects' | 'onlyCaptured'>,
  id: string,
): Promise<ReadMessage> {
  const story = await readStory(inbox, id);
  const originals = createOriginals(inbox.pool, inbox.objects);
  const raw = story.raw && (await originals.readRaw({ emailId: story.id, ...story.raw }));
  const arrival = await findArrival(inbox.pool, story.id);
  return { story, raw, structure: raw && (await Structure.read(raw)), arrival };
}

/** Links that people may want to follow; a newsletter has hundreds. */
export const MOST_LINKS = 200;
const HREF = /<a\b[^>]*?\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))/gi;

const IN_TEXT = /https?:\/\/[^\s<>"']+/gi;
/** What stands behind a link in a sentence. */
const PUNCTUATION = /[.,;:!?)\]}]+$/;

export interface DetailsOptions extends Pick<Details, 'canRelease'> {
  /** Whether they are wanted, which may have many megabytes. */
  readonly bodies: boolean;
}

/** All that is known of a message, for people and programs. */
export function detailsOf({ story, structure, arrival }: ReadMessage, { canRelease, bodies }: DetailsOptions): Details {
  const { html } = story;
  return {
    message: summaryOf(story),
    messageId: story.messageId,
    replyTo: [...(story.replyTo ?? [])],
    hasText: story.text !== null,
    hasHtml: html !== null,
    text: bodies ? story.text : null,
    html: bodies ? html : null,
    asksOthers: html !== null && asksOthers(html),
    headers: [...(structure?.headers ?? [])],
    parts: structure ? partsOf(structure.root, 0, null) : [],
    links: html === null ? linksInText(story.text ?? '') : linksIn(html),
    envelope: { from: story.raw?.reversePath ?? '', recipients: recipientsOf(story) },
    session: story.raw && {
      id: story.raw.sessionId,
      client: story.raw.clientAddress,
      helo: story.raw.helo,
      protocol: story.raw.protocol,
    },
    keyId: arrival?.keyId ?? null,
    transcript: arrival && transcriptOf(arrival),
    timeline: timelineOf(story, arrival),
    pending: pendingOf(story),
    canRelease,
  };
}

function transcriptOf({ beganAt, lines }: KeptArrival): Details['transcript'] {
  return { beganAt: beganAt.toISOString(), lines: lines.map(([at, by, text]) => ({ at, by, text })) };
}

function summaryOf(story: EmailStory): Summary {
  const { id, createdAt, status, owner, from, to, cc, bcc, subject, tags, attachments, raw, text, sandbox } = story;
  const events: Record<string, number> = {};
  for (const { type } of story.events) events[type] = (events[type] ?? 0) + 1;
  return {
    ...{ id, status, owner, from, subject, sandbox, events },
    createdAt: createdAt.toISOString(),
    to: [...to],
    cc: [...(cc ?? [])],
    bcc: [...(bcc ?? [])],
    preview: (text ?? '').slice(0, 160),
    tags: (tags ?? []).map(({ name, value }) => ({ name, value })),
    attachments: attachments?.length ?? 0,
    size: raw?.sizeBytes ?? null,
  };
}

function partsOf(part: Part, depth: number, parent: Part | null): PartInfo[] {
  const { parts, ...info } = part;
  const role = parts.length > 0 ? 'multipart' : roleOf(part, parent);
  return [{ ...info, depth, role }, ...parts.flatMap(child => partsOf(child, depth + 1, part))];
}

function roleOf({ contentType, disposition, filename, contentId }: Part, parent: Part | null): string {
  if (disposition !== 'attachment' && filename === null && /^text\/(?:plain|html)$/.test(contentType)) return 'body';
  const isWithin = parent?.contentType === 'multipart/related' && contentId !== null;
  return isWithin && disposition !== 'attachment' ? 'inline' : 'attachment';
}

function linksIn(html: string): string[] {
  const found = new Set<string>();
  for (const [, double, single, bare] of html.matchAll(HREF)) {
    const link = (double ?? single ?? bare ?? '').replaceAll('&amp;', '&').trim();
    if (/^https?:/i.test(link)) found.add(link);
    if (found.size === MOST_LINKS) break;
  }
  return [...found];
}

function linksInText(text: string): string[] {
  const found = new Set<string>();
  for (const [link] of text.matchAll(IN_TEXT)) {
    found.add(link.replace(PUNCTUATION, ''));
    if (found.size === MOST_LINKS) break;
  }
  return [...found];
}

/** What is no outcome of a delivery. */
const BY_READERS = new Set(['opened', 'clicked']);

function recipientsOf(story: EmailStory): Recipient[] {
  const named = [story.to, story.cc ?? [], story.bcc ?? []].flat().map(addressIn);
  const envelope = Array.isArray(story.raw?.recipients) ? story.raw.recipients.map(String) : named;
  const has = (list: readonly string[] | null, address: string): boolean =>
    (list ?? []).some(entry => addressIn(entry).toLowerCase() === address.toLowerCase());
  return envelope.map(address => ({
    address,
    field: has(story.to, address) ? 'to' : has(story.cc, address) ? 'cc' : 'bcc',
    outcome: outcomeFor(story, address),
  }));
}

function outcomeFor({ events, attempts }: EmailStory, address: string): string | null {
  const isAbout = (recipients: unknown): boolean =>
    Array.isArray(recipients) && recipients.some(each => String(each).toLowerCase() === address.toLowerCase());
  const types = events.filter(({ payload }) => isAbout(payload['recipients'])).map(({ type }) => type);
  const gravityOf = (type: string): number => eventKind(type)?.gravity ?? 0;
  const gravest = types.toSorted((a, b) => gravityOf(b) - gravityOf(a)).find(type => !BY_READERS.has(type));
  if (gravest !== undefined) return gravest;
  return attempts.findLast(({ recipients }) => isAbout(recipients))?.outcome ?? null;
}

function addressIn(mailbox: string): string {
  return /<([^<>]*)>$/.exec(mailbox)?.[1] ?? mailbox;
}
