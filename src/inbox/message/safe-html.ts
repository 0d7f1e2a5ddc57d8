import type { Part, Structure } from './structure.ts';

/** HTML of a stranger, for a frame that nothing runs in. */
export interface SafeHtml {
  readonly html: string;
  /** The Content-Security-Policy to answer it with: what holds it, whatever stands in it. */
  readonly policy: string;
}

const REMOTE = 'https: http:';
/** Bytes of pictures that are written into the page; further ones are left out. */
const MOST_INLINE = 8 * 1024 * 1024;
const PICTURE = /^image\/(?:png|jpeg|gif|webp|avif|bmp|svg\+xml)$/;
/**
 * What a policy does not reach: links by which browsers connect ahead (`preconnect`), frames within (`srcdoc`), another base, and
 * `http-equiv`. They are found wherever the letters stand, so that it does not matter how somebody else's parser would read them.
 */
const VOID_TAG = /<(?:link|meta|base)(?=[\s/>])/gi;
const FRAME_TAG = /<(\/?)(iframe|frame|frameset|object|embed|portal|fencedframe)(?=[\s/>])/gi;
const CID = /\bcid:([^\s"'<>()]+)/gi;
const DOCTYPE = /^\s*<!doctype[^>]*>/i;
const ASKS =
  /(?:src|srcset|background|poster)\s*=\s*["']?\s*(?:https?:)?\/\/|url\(\s*["']?\s*(?:https?:)?\/\/|@import|<link[\s/]/i;

/** Whether it would ask somebody else for pictures, styles or the like. */
export function asksOthers(html: string): boolean {
  return ASKS.test(html);
}

/**
 * Makes HTML of a message ready to be shown: pictures of the message itself are written into it, links open outside.
 *
 * @param remote whether it may load pictures, styles and fonts from elsewhere
 */
export function makeSafe(html: string, structure: Structure | null, remote: boolean): SafeHtml {
  const pictures = createPictures(structure);
  const plain = html
    .replaceAll(VOID_TAG, '<wbr')
    .replaceAll(FRAME_TAG, '<$1x-$2')
    .replaceAll(CID, (whole, id: string) => pictures(id) ?? whole);
  const [doctype = ''] = DOCTYPE.exec(plain) ?? [];
  const from = remote ? ` ${REMOTE}` : '';
  const policy = [
    "default-src 'none'",
    `img-src data:${from}`,
    `style-src 'unsafe-inline'${from}`,
    `font-src data:${from}`,
    `media-src data:${from}`,
    "form-action 'none'",
    "base-uri 'none'",
    "frame-ancestors 'self'",
    // No scripts, no forms, an origin of its own, no way up; a link that is clicked may open a window.
    'sandbox allow-popups allow-popups-to-escape-sandbox',
  ];
  return { html: `${doctype}<base target="_blank">${plain.slice(doctype.length)}`, policy: policy.join('; ') };
}

/** By Content-ID, `data:` URLs of the message's own pictures; null where it has none of that name, or no more room. */
function createPictures(structure: Structure | null): (id: string) => string | null {
  const made = new Map<string, string | null>();
  const byId = new Map<string, Part>();
  for (const part of structure?.leaves ?? []) if (part.contentId !== null) byId.set(part.contentId, part);
  let left = MOST_INLINE;
  const make = (id: string): string | null => {
    const part = byId.get(id) ?? byId.get(unescaped(id));
    if (!part || !PICTURE.test(part.contentType)) return null;
    const content = structure?.contentOf(part.path);
    if (!content || content.length > left) return null;
    left -= content.length;
    return `data:${part.contentType};base64,${content.toString('base64')}`;
  };
  return id => {
    const known = made.get(id);
    if (known !== undefined) return known;
    const url = make(id);
    made.set(id, url);
    return url;
  };
}

/** RFC 2392: percent-encoded. */
function unescaped(id: string): string {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}
