import { hasPgpText } from '../message/mime/part-header.ts';
import { type Attribute, type HtmlFacts, type Link, readHtml } from './html.ts';
import { readStructure, type TextPart } from './structure.ts';
import { type EncodedText, readEncodedText } from './text-encoding.ts';
import type { TrackingLinks } from './token.ts';
import { type Edit, MAX_LINE, readTransfer, type Transfer } from './transfer.ts';

export interface Tracking extends TrackingLinks {
  readonly opens: boolean;
  readonly clicks: boolean;
  /** Left out, the message has nothing but its own bytes. */
  readonly source?: MarkedSource;
}

/** The source of a message in which marks stand for bytes that are left out. */
export interface MarkedSource {
  /** The size of these bytes with those that are left out. */
  sizeOf(bytes: Buffer): number;
  /** These bytes with those that are left out. @throws Error where there are too many of them, or they cannot be read */
  fill(bytes: Buffer): Promise<Buffer>;
}

/** The source of a message with nothing left out. */
export const UNMARKED: MarkedSource = { sizeOf: ({ length }) => length, fill: async bytes => bytes };

/** Larger texts are left as they are: no reader shows them whole, and they would hold up other messages. */
const MAX_TEXT_BYTES = 2 * 1024 * 1024;
/** What may stand in a value without quotes. */
const NEEDS_NO_QUOTES = /^[\w\-.~:/?#@!$+,;%]+$/;

/**
 * Puts tracking links in the place of a message's links, and a pixel at the end of its first HTML body.
 *
 * Only the links' targets and the pixel are written. All else stays byte for byte: header fields, boundaries, the other
 * parts, the other characters of the HTML. The HTML keeps its charset and its transfer encoding; lines of quoted-printable
 * that have no link stay too, Base64 is wrapped anew. Twice is as once.
 *
 * Left as they are, wholly: messages with a part that is signed or encrypted (S/MIME, PGP/MIME, PGP in a text), and those
 * with a DKIM or ARC signature of the client's own, whose hash of the body would be wrong. Left as they are among others:
 * attachments, forwarded messages, parts in a charset or transfer encoding that is not known, HTML over 2 MiB, and links
 * that would not fit into a line of 998 bytes where the transfer encoding cannot break it.
 *
 * @param raw composed, with CRLF line ends
 * @returns `raw` itself where nothing changes
 */
export async function rewriteMessage(raw: Buffer, tracking: Tracking): Promise<Buffer> {
  if (!tracking.opens && !tracking.clicks) return raw;
  const { isSealed, texts, listUnsubscribe } = await readStructure(raw);
  if (isSealed) return raw;
  const source = tracking.source ?? UNMARKED;
  const parts: { part: TextPart; transfer: Transfer | null }[] = [];
  for (const part of texts) parts.push({ part, transfer: await readContent(raw, part, source) });
  if (parts.some(({ part, transfer }) => isPgp(raw, part, transfer))) return raw;
  const bodies = parts.flatMap(({ part, transfer }) => readBody(part, transfer) ?? []);
  const targetOf = createLinkChooser(listUnsubscribe);
  const hasPixel = bodies.some(({ facts }) => facts.images.includes(tracking.pixelUrl));
  const pixelBody = tracking.opens && !hasPixel ? bodies.find(({ facts }) => facts.bodyEnd !== null) : undefined;
  const pieces: Buffer[] = [];
  let position = 0;
  for (const body of bodies) {
    const edits = [
      ...(tracking.clicks ? linkEdits(body, targetOf, tracking) : []),
      ...(body === pixelBody ? pixelEdits(body, tracking.pixelUrl) : []),
    ].sort((one, other) => one.start - other.start);
    if (edits.length === 0) continue;
    pieces.push(raw.subarray(position, body.part.start), body.transfer.edit(edits));
    position = body.part.end;
  }
  return pieces.length === 0 ? raw : Buffer.concat([...pieces, raw.subarray(position)]);
}

interface Body {
  readonly part: TextPart;
  readonly transfer: Transfer;
  readonly text: EncodedText;
  readonly facts: HtmlFacts;
}

async function readContent(
  raw: Buffer,
  { start, end, encoding }: TextPart,
  source: MarkedSource,
): Promise<Transfer | null> {
  const content = raw.subarray(start, end);
  return source.sizeOf(content) > MAX_TEXT_BYTES ? null : readTransfer(await source.fill(content), encoding);
}

function readBody(part: TextPart, transfer: Transfer | null): Body | null {
  if (part.contentType !== 'text/html' || transfer === null) return null;
  const text = readEncodedText(transfer.decoded, part.charset, 'html');
  // Servers do not see the line breaks of an encoding with two bytes a character.
  if (text === null || (transfer.keepsLines && text.unit !== 1)) return null;
  return { part, transfer, text, facts: readHtml(text) };
}

function isPgp(raw: Buffer, { start, end }: TextPart, transfer: Transfer | null): boolean {
  return hasPgpText(transfer?.decoded ?? raw.subarray(start, end));
}

function linkEdits(body: Body, targetOf: (link: Link) => string | null, tracking: Tracking): Edit[] {
  return body.facts.links.flatMap(link => {
    const target = targetOf(link);
    const url = target === null ? null : tracking.linkFor(target);
    return url === null ? [] : editOf(body, link.href.start, link.href.end, written(body.text.scan, link.href, url));
  });
}

/** The attribute with another value: its name and quotes as they were. */
function written(scan: string, { start, valueStart, quote }: Attribute, url: string): string {
  const value = escaped(url);
  if (quote !== '' || NEEDS_NO_QUOTES.test(value)) return `${scan.slice(start, valueStart)}${value}${quote}`;
  return `${scan.slice(start, valueStart)}"${value}"`;
}

function pixelEdits(body: Body, pixelUrl: string): Edit[] {
  const { bodyEnd } = body.facts;
  if (bodyEnd === null) return [];
  // No style hides it: mail programs do not load hidden pictures.
  const pixel = `<img src="${escaped(pixelUrl)}" width="1" height="1" alt="">`;
  return editOf(body, bodyEnd, bodyEnd, pixel);
}

function editOf({ text, transfer }: Body, start: number, end: number, ascii: string): Edit[] {
  const fits = !transfer.keepsLines || ascii.split('\n').every(line => line.length <= MAX_LINE);
  return fits ? [{ start: start * text.unit, end: end * text.unit, text: text.encode(ascii) }] : [];
}

/** As the value of an attribute, in ASCII, whatever the charset. */
function escaped(url: string): string {
  return url
    .replace(/["&'<>]|[^\x20-\x7e]/gu, character => `&#${character.codePointAt(0)};`)
    .replaceAll('&#38;', '&amp;');
}

const HTTP = /^https?:\/\//i;
const LINE_BREAKS = /[\t\n\r]/g;
const SPACE = 0x20;
/** Bytes that are none of the charset, or markup that an open quote has swallowed: such a URL leads anywhere. */
const UNREADABLE = /[<>\ufffd]/;
/** `unsubscribe`, `unsub`, `opt out`, `optout`, and the words for it in other languages, in texts and in URLs. */
const UNSUBSCRIBE =
  /unsubscri|(?<![a-z])(?:unsub|opt(?:ing)?[\s\-_+]?out)(?![a-z])|(?<![a-z])(?:newsletter[\s\-_]?)?(?:abmelde|abbestell|austragen)|d[ée]sabonn|d[ée]sinscri|darse de baja|dar de baja|cancelar (?:la )?suscripci|cancelar (?:a )?inscri|disiscri|annulla(?:re)? l.iscrizione|afmelden|uitschrijven|avprenumerera|avregistrera|配信停止|退订|取消订阅/i;
const BRACKETED = /<([^<>]*)>/g;

/**
 * Which links are for tracking: absolute http and https URLs that the sender has not marked with `data-track="off"` and
 * that are not for unsubscribing. A link is for that where
 *
 * - its URL is one of the field `List-Unsubscribe` (RFC 2369, RFC 8058);
 * - the URL, what people read of the link, or the sentence before it says so ("To unsubscribe click <a>here</a>").
 *
 * In doubt a link is not tracked: a click that is not counted harms less than a mailbox provider that follows, or a person
 * who mistrusts, the wrong link.
 */
export function createLinkChooser(listUnsubscribe: readonly string[]): (link: Link) => string | null {
  const unsubscribeUrls = new Set(listUnsubscribe.flatMap(urlsOf).map(normalised));
  return ({ href, isMarkedOff, text, leadIn }) => {
    const url = urlIn(href.value);
    if (isMarkedOff || !HTTP.test(url) || UNREADABLE.test(url)) return null;
    if ([url, text, leadIn].some(part => UNSUBSCRIBE.test(part)) || unsubscribeUrls.has(normalised(url))) return null;
    return url;
  };
}

/** The URLs of a field's line. White space in them comes from folding (RFC 2369 section 2). */
function urlsOf(line: string): string[] {
  return Array.from(line.matchAll(BRACKETED), ([, url = '']) => url.replace(/[\t\n\r ]/g, ''));
}

/**
 * What browsers make of an attribute (URL Standard, "basic URL parser"): without controls and spaces at its ends, and without
 * line breaks and tabs. Other white space, such as U+00A0, is part of the URL. In linear time, unlike a pattern.
 */
function urlIn(value: string): string {
  let [start, end] = [0, value.length];
  while (start < end && value.charCodeAt(start) <= SPACE) start += 1;
  while (end > start && value.charCodeAt(end - 1) <= SPACE) end -= 1;
  return value.slice(start, end).replace(LINE_BREAKS, '');
}

function normalised(url: string): string {
  return URL.parse(url)?.href ?? url;
}
