import { Tokenizer, type TokenizerCallbacks } from 'htmlparser2';
import type { EncodedText } from './text-encoding.ts';

/** An attribute as it stands in the text, from its name to its end, quotes among it. */
export interface Attribute {
  readonly start: number;
  readonly end: number;
  /** Where the value begins, behind the quote if it has one. */
  readonly valueStart: number;
  /** `"`, `'`, or empty for a value without quotes. */
  readonly quote: string;
  /** Decoded: without character references. */
  readonly value: string;
}

/** `<a href>` or `<area href>`. */
export interface Link {
  readonly href: Attribute;
  /** Whether the sender has marked it with `data-track="off"`. */
  readonly isMarkedOff: boolean;
  /** What people read of it: its text, `title`, and `alt`, also that of images in it. */
  readonly text: string;
  /** The text right before it, within its sentence and without markup between. */
  readonly leadIn: string;
}

/** What tracking needs to know of an HTML text. Positions are those of `EncodedText.scan`. */
export interface HtmlFacts {
  readonly links: readonly Link[];
  /** The `src` of each image. */
  readonly images: readonly string[];
  /**
   * The end of the body: before the last `</body>`, else before the last `</html>`, else behind the last character; null
   * where that is inside a tag, a comment or a script left open.
   */
  readonly bodyEnd: number | null;
}

/** Beyond this, the text of a link is not looked at, and not the text before it. */
const MAX_TEXT = 300;
const KEPT: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ['a', new Set(['href', 'data-track', 'title'])],
  ['area', new Set(['href', 'data-track', 'title', 'alt'])],
  ['img', new Set(['src', 'alt'])],
]);
const SENTENCE_END = /^[\s\S]*[.!?](?=\s)/;
/** A tag put behind the text: where it is seen as one, the text ends outside of tags, comments and scripts. */
const PROBE = '<img>';

/**
 * Finds links and images by htmlparser2's tokenizer, which reads as browsers do and never fails. What is in comments
 * (Outlook's conditional ones among them), CDATA, scripts, styles and other elements of raw text is not looked at.
 * Takes time in proportion to the length.
 */
export function readHtml(text: EncodedText): HtmlFacts {
  const reader = new HtmlReader(text);
  const tokenizer = new Tokenizer({}, reader);
  tokenizer.write(text.scan + PROBE);
  tokenizer.end();
  return reader.facts();
}

interface OpenLink {
  readonly href: Attribute;
  readonly isMarkedOff: boolean;
  readonly leadIn: string;
  text: string;
}

class HtmlReader implements TokenizerCallbacks {
  readonly #text: EncodedText;
  /** What stands between the name of an attribute and its value. */
  readonly #beforeValue = /[\t\n\f\r ]*=[\t\n\f\r ]*(["']?)/y;
  readonly #links: OpenLink[] = [];
  readonly #images: string[] = [];
  #openLink: OpenLink | null = null;
  #tag = '';
  #tagStart = 0;
  #attributes = new Map<string, Attribute>();
  /** The attribute that is being read; null where it is not wanted. */
  #attribute: { readonly name: string; readonly start: number; readonly nameEnd: number } | null = null;
  #value = '';
  /** The last text without markup in it. */
  #run = { start: 0, end: 0 };
  #runGoesOn = false;
  #bodyClose = -1;
  #htmlClose = -1;
  #endsOpen = true;

  constructor(text: EncodedText) {
    this.#text = text;
  }

  facts(): HtmlFacts {
    const { scan } = this.#text;
    let end = this.#bodyClose === -1 ? this.#htmlClose : this.#bodyClose;
    if (end === -1) {
      end = scan.length;
      while (end > 0 && isWhiteSpace(scan.charCodeAt(end - 1))) end -= 1;
      if (this.#endsOpen) return { links: this.#links, images: this.#images, bodyEnd: null };
    }
    return { links: this.#links, images: this.#images, bodyEnd: end };
  }

  onopentagname(start: number, end: number): void {
    this.#runGoesOn = false;
    this.#tagStart = start - '<'.length;
    this.#tag = this.#text.scan.slice(start, end).toLowerCase();
    this.#attributes = new Map();
    if (this.#tagStart === this.#text.scan.length) {
      this.#endsOpen = false;
      // The probe is no image of the text.
      this.#tag = '';
    }
  }

  onattribname(start: number, end: number): void {
    const wanted = KEPT.get(this.#tag);
    const name = wanted && end - start <= 10 ? this.#text.scan.slice(start, end).toLowerCase() : '';
    // Browsers take the first of two attributes of one name.
    this.#attribute = wanted?.has(name) && !this.#attributes.has(name) ? { name, start, nameEnd: end } : null;
    this.#value = '';
  }

  onattribdata(start: number, end: number): void {
    if (this.#attribute) this.#value += this.#text.slice(start, end);
  }

  onattribentity(codePoint: number): void {
    if (this.#attribute) this.#value += String.fromCodePoint(codePoint);
  }

  onattribend(_quote: number, end: number): void {
    if (this.#attribute === null) return;
    const { name, start, nameEnd } = this.#attribute;
    this.#attribute = null;
    this.#beforeValue.lastIndex = nameEnd;
    const [before, quote = ''] = this.#beforeValue.exec(this.#text.scan) ?? [''];
    this.#attributes.set(name, { start, end, valueStart: nameEnd + before.length, quote, value: this.#value });
  }

  onopentagend(): void {
    this.#openTag();
  }

  onselfclosingtag(): void {
    this.#openTag();
  }

  onclosetag(start: number, end: number): void {
    this.#runGoesOn = false;
    if (end - start > 4) return;
    const name = this.#text.scan.slice(start, end).toLowerCase();
    if (name === 'a') this.#openLink = null;
    if (name === 'body') this.#bodyClose = start - '</'.length;
    if (name === 'html') this.#htmlClose = start - '</'.length;
  }

  ontext(start: number, end: number): void {
    this.#extendRun(start, end);
    if (this.#openLink) this.#addToLink(this.#text.slice(start, Math.min(end, start + MAX_TEXT)));
  }

  ontextentity(codePoint: number, end: number): void {
    this.#extendRun(end, end);
    this.#addToLink(String.fromCodePoint(codePoint));
  }

  oncomment(): void {
    this.#runGoesOn = false;
  }

  oncdata(): void {}
  ondeclaration(): void {}
  onend(): void {}
  onprocessinginstruction(): void {}

  #openTag(): void {
    const href = this.#attributes.get('href');
    const alt = this.#attributes.get('alt')?.value ?? '';
    if (this.#tag === 'img') {
      this.#images.push(this.#attributes.get('src')?.value ?? '');
      this.#addToLink(` ${alt} `);
    }
    if (this.#tag === 'a') this.#openLink = null;
    if (href && (this.#tag === 'a' || this.#tag === 'area')) {
      const link = {
        href,
        isMarkedOff: this.#attributes.get('data-track')?.value.trim().toLowerCase() === 'off',
        leadIn: this.#leadIn(),
        text: `${this.#attributes.get('title')?.value ?? ''} ${alt} `,
      };
      this.#links.push(link);
      if (this.#tag === 'a') this.#openLink = link;
    }
  }

  #extendRun(start: number, end: number): void {
    this.#run = { start: this.#runGoesOn ? this.#run.start : start, end };
    this.#runGoesOn = true;
  }

  /** What stands right before the tag that is being read, without what belongs to another sentence. */
  #leadIn(): string {
    const { start, end } = this.#run;
    if (end !== this.#tagStart) return '';
    return this.#text.slice(Math.max(start, end - MAX_TEXT), end).replace(SENTENCE_END, '');
  }

  #addToLink(text: string): void {
    if (this.#openLink && this.#openLink.text.length < MAX_TEXT) this.#openLink.text += text;
  }
}

function isWhiteSpace(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d);
}
