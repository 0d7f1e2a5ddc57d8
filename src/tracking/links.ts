import type { Link } from './html.ts';

const HTTP = /^https?:\/\//i;
const LINE_BREAKS = /[\t\n\r]/g;
const SPACE = 0x20;
/** Bytes that are none of the charset, or markup that a quote left open has swallowed: nobody knows where that leads. */
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
