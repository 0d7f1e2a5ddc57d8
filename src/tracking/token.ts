import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { isUuid } from '../platform/uuid.ts';

/** What a tracking link says: which message was opened, or which link of it was followed. */
export type TrackingToken =
  | { readonly kind: 'open'; readonly emailId: string }
  | { readonly kind: 'click'; readonly emailId: string; readonly url: string };

/** Whose link it is, and where it leads first. */
export interface Issuer {
  /** The host of the link (`hostOf`). */
  readonly host: string;
  /** `emails.user_id`. */
  readonly owner: string | null;
}

/** What a token says, and whose it is (`ownerTag`); null where it is of a time when that was not said. */
export type VerifiedToken = TrackingToken & { readonly ownerTag: string | null };

/** Signs what tracking links say, and reads it back. */
export interface Tokens {
  /**
   * @param content `emailId` is a UUID; `url` passes `isTrackableUrl`
   * @returns at most `MAX_TOKEN_LENGTH` characters of `A-Z a-z 0-9 - _`; the same content gives the same token
   * @throws TypeError for any other content; Error where there is no secret
   */
  sign(content: TrackingToken, issuer: Issuer): string;
  /** null for a token that none of the secrets has signed for this host. Never throws. @param host as `hostOf` gives it */
  verify(token: string, host: string | null): VerifiedToken | null;
}

export interface TokensOptions {
  /** The host of `TRACKING_BASE_URL`, where links that say no host are good; null where there is none. */
  readonly defaultHost?: string | null;
  readonly now?: () => number;
}

/** Where the public listener takes opens: this, then the token. */
export const OPEN_PATH = '/t/o/';
/** Where the public listener takes clicks: this, then the token. */
export const CLICK_PATH = '/t/c/';

/** The longest URL that is tracked, in bytes of UTF-8. */
const MAX_URL_BYTES = 8192;
const VERSION = 2;
/** Links without host and owner, as they were made before: good at the default host until 30 June 2027. */
const OLD_VERSION = 1;
const OLD_UNTIL = Date.UTC(2027, 6, 1);
const KINDS = ['open', 'click'] as const;
const HEAD_BYTES = 2;
const ID_BYTES = 16;
/** The beginning of a hash of the owner's id: enough to tell owners apart, and not who it is. */
const OWNER_BYTES = 8;
/** Half of SHA-256's output, the least that RFC 2104 section 5 advises: 128 bits keep links short. */
const MAC_BYTES = 16;
const LEAST_BYTES = HEAD_BYTES + ID_BYTES + MAC_BYTES;
/** Characters of the longest token. A router in front must let as many pass. */
export const MAX_TOKEN_LENGTH = Math.ceil(((LEAST_BYTES + OWNER_BYTES + MAX_URL_BYTES) * 4) / 3);

/**
 * Signed in front of each token, so that nothing else that the same secret signs is a token. The host behind it is not in the token:
 * a link is good at its own host only, so no owner can make links that lead on from another's host.
 */
const PURPOSE = 'opensend smtp-relay tracking';
const purposeAt = (host: string): string => `${PURPOSE} at ${host}\n`;
const OLD_PURPOSE = `${PURPOSE}\n`;
const UUID_GROUPS = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/;
const HTTP = /^https?:\/\//i;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\0-\x1f\x7f]/;

/**
 * Tokens signed with HMAC-SHA-256 (RFC 2104), in Base64url (RFC 4648 section 5) of: version (1 byte), kind (1), UUID of
 * the message (16), owner (8), URL of a click in UTF-8, signature of all that and of the host (16). They carry all there is to know,
 * and a redirect takes its target from the token alone.
 *
 * @param secrets the first one signs; a token signed by any of them is good. With none, no token is
 */
export function createTokens(secrets: readonly string[], options: TokensOptions = {}): Tokens {
  const [signing] = secrets;
  const { defaultHost = null, now = Date.now } = options;
  /** What was signed in front of a token of this version, where it is good at this host by now. */
  const purposeOf = (version: number | undefined, host: string): string | null => {
    if (version === VERSION) return purposeAt(host);
    return version === OLD_VERSION && host === defaultHost && now() < OLD_UNTIL ? OLD_PURPOSE : null;
  };
  return {
    sign(content, { host, owner }) {
      if (signing === undefined) throw new Error('There is no secret to sign tracking links with');
      const payload = encode(content, owner);
      return Buffer.concat([payload, macOf(purposeAt(host), payload, signing)]).toString('base64url');
    },
    verify(token, host) {
      const bytes = readBase64Url(token);
      if (host === null || bytes === null || bytes.length < LEAST_BYTES) return null;
      const payload = bytes.subarray(0, -MAC_BYTES);
      const mac = bytes.subarray(-MAC_BYTES);
      const purpose = purposeOf(payload[0], host);
      if (purpose === null) return null;
      const signed = secrets.some(secret => timingSafeEqual(macOf(purpose, payload, secret), mac));
      return signed ? decode(payload) : null;
    },
  };
}

/**
 * The host of a base URL or of a request's Host field: in lower case, A-labels, without port and final dot. Proxies may change
 * ports.
 *
 * @returns null where it has none
 */
export function hostOf(text: string): string | null {
  const url = URL.parse(/^https?:\/\//i.test(text) ? text : `http://${text}`);
  return url?.hostname.replace(/\.$/, '') || null;
}

/** What tokens say of an owner. */
export function ownerTag(owner: string | null): string {
  return ownerBytes(owner).toString('hex');
}

function ownerBytes(owner: string | null): Buffer {
  return createHash('sha256')
    .update(`owner of a tracking link\n${owner ?? ''}`)
    .digest()
    .subarray(0, OWNER_BYTES);
}

/** Whether a click on it can be told by a token: an absolute http or https URL of at most 8 KiB. */
export function isTrackableUrl(url: string): boolean {
  return HTTP.test(url) && !CONTROL.test(url) && Buffer.byteLength(url) <= MAX_URL_BYTES && URL.canParse(url);
}

/** The URL that tells of an open. `baseUrl` is where recipients reach the public listener. */
export function openUrl(baseUrl: string, token: string): string {
  return under(baseUrl, OPEN_PATH) + token;
}

/** The URL that tells of a click, and leads on to its target. */
export function clickUrl(baseUrl: string, token: string): string {
  return under(baseUrl, CLICK_PATH) + token;
}

function under(baseUrl: string, path: string): string {
  return baseUrl.replace(/\/+$/, '') + path;
}

/** The tracking URLs of one message. */
export interface TrackingLinks {
  readonly pixelUrl: string;
  /** null for a URL that stays as it is: one of ours already, or one that no token can carry. */
  linkFor(url: string): string | null;
}

export interface LinksOptions {
  /** Where recipients reach the public listener, with or without a slash at its end. */
  readonly baseUrl: string;
  readonly emailId: string;
  /** `emails.user_id`. */
  readonly owner: string | null;
}

/** @throws TypeError where `baseUrl` is none */
export function createLinks(tokens: Tokens, { baseUrl, emailId, owner }: LinksOptions): TrackingLinks {
  const own = [under(baseUrl, OPEN_PATH), under(baseUrl, CLICK_PATH)];
  const host = hostOf(baseUrl);
  if (host === null) throw new TypeError('The base of tracking links must be a URL');
  const issuer = { host, owner };
  return {
    pixelUrl: openUrl(baseUrl, tokens.sign({ kind: 'open', emailId }, issuer)),
    linkFor(url) {
      if (own.some(prefix => url.startsWith(prefix)) || !isTrackableUrl(url)) return null;
      return clickUrl(baseUrl, tokens.sign({ kind: 'click', emailId, url }, issuer));
    },
  };
}

function macOf(purpose: string, payload: Buffer, secret: string): Buffer {
  return createHmac('sha256', secret).update(purpose).update(payload).digest().subarray(0, MAC_BYTES);
}

function encode(content: TrackingToken, owner: string | null): Buffer {
  if (!isUuid(content.emailId)) throw new TypeError('The id in a tracking link must be a UUID');
  const url = content.kind === 'click' ? content.url : '';
  if (content.kind === 'click' && !isTrackableUrl(url)) {
    throw new TypeError('The target of a tracking link must be an http or https URL of at most 8 KiB');
  }
  return Buffer.concat([
    Buffer.of(VERSION, KINDS.indexOf(content.kind)),
    Buffer.from(content.emailId.replaceAll('-', ''), 'hex'),
    ownerBytes(owner),
    Buffer.from(url),
  ]);
}

/** Reads a signed payload; null for one that this program would not write. */
function decode(payload: Buffer): VerifiedToken | null {
  const kind = KINDS[payload[1] as number];
  const ownerAt = HEAD_BYTES + ID_BYTES;
  const urlAt = payload[0] === VERSION ? ownerAt + OWNER_BYTES : ownerAt;
  if (kind === undefined || payload.length < urlAt) return null;
  const emailId = payload.toString('hex', HEAD_BYTES, ownerAt).replace(UUID_GROUPS, '$1-$2-$3-$4-$5');
  const ownerTag = urlAt === ownerAt ? null : payload.toString('hex', ownerAt, urlAt);
  const url = payload.toString('utf8', urlAt);
  if (kind === 'open') return url === '' ? { kind, emailId, ownerTag } : null;
  return isTrackableUrl(url) ? { kind, emailId, url, ownerTag } : null;
}

/** null for text that is not Base64url as `sign` writes it, so that each content has one token only. */
function readBase64Url(token: string): Buffer | null {
  if (typeof token !== 'string' || token.length > MAX_TOKEN_LENGTH) return null;
  const bytes = Buffer.from(token, 'base64url');
  return bytes.toString('base64url') === token ? bytes : null;
}
