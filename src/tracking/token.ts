import { createHmac, timingSafeEqual } from 'node:crypto';
import { isUuid } from '../message/uuid.ts';

/** What a tracking link says: which message was opened, or which link of it was followed. */
export type TrackingToken =
  | { readonly kind: 'open'; readonly emailId: string }
  | { readonly kind: 'click'; readonly emailId: string; readonly url: string };

/** Signs what tracking links say, and reads it back. */
export interface Tokens {
  /**
   * @param content `emailId` is a UUID; `url` passes `isTrackableUrl`
   * @returns at most `MAX_TOKEN_LENGTH` characters of `A-Z a-z 0-9 - _`; the same content gives the same token
   * @throws TypeError for any other content; Error where there is no secret
   */
  sign(content: TrackingToken): string;
  /** null for whatever none of the secrets has signed. Never throws. */
  verify(token: string): TrackingToken | null;
}

/** Where the public listener takes opens: this, then the token. */
export const OPEN_PATH = '/t/o/';
/** Where the public listener takes clicks: this, then the token. */
export const CLICK_PATH = '/t/c/';

/** The longest URL that is tracked, in bytes of UTF-8. */
const MAX_URL_BYTES = 8192;
const VERSION = 1;
const KINDS = ['open', 'click'] as const;
const HEAD_BYTES = 2;
const ID_BYTES = 16;
/** Half of SHA-256's output, the least that RFC 2104 section 5 advises: 128 bits keep links short. */
const MAC_BYTES = 16;
const LEAST_BYTES = HEAD_BYTES + ID_BYTES + MAC_BYTES;
/** Characters of the longest token. A router in front must let as many pass. */
export const MAX_TOKEN_LENGTH = Math.ceil(((LEAST_BYTES + MAX_URL_BYTES) * 4) / 3);

/** Signed in front of each token, so that nothing else that the same secret may sign is a token. */
const PURPOSE = 'opensend smtp-relay tracking\n';
const UUID_GROUPS = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/;
const HTTP = /^https?:\/\//i;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\0-\x1f\x7f]/;

/**
 * Tokens signed with HMAC-SHA-256 (RFC 2104), in Base64url (RFC 4648 section 5) of: version (1 byte), kind (1), UUID of
 * the message (16), URL of a click in UTF-8, signature (16). They carry all there is to know, so that the target of a
 * redirect comes from nowhere else.
 *
 * @param secrets the first one signs; a token signed by any of them is good. With none, no token is
 */
export function createTokens(secrets: readonly string[]): Tokens {
  const [signing] = secrets;
  return {
    sign(content) {
      if (signing === undefined) throw new Error('There is no secret to sign tracking links with');
      const payload = encode(content);
      return Buffer.concat([payload, macOf(payload, signing)]).toString('base64url');
    },
    verify(token) {
      const bytes = readBase64Url(token);
      if (bytes === null || bytes.length < LEAST_BYTES) return null;
      const payload = bytes.subarray(0, -MAC_BYTES);
      const mac = bytes.subarray(-MAC_BYTES);
      const signed = secrets.some(secret => timingSafeEqual(macOf(payload, secret), mac));
      return signed ? decode(payload) : null;
    },
  };
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

/** @param baseUrl where recipients reach the public listener, with or without a slash at its end */
export function createLinks(tokens: Tokens, baseUrl: string, emailId: string): TrackingLinks {
  const own = [under(baseUrl, OPEN_PATH), under(baseUrl, CLICK_PATH)];
  return {
    pixelUrl: openUrl(baseUrl, tokens.sign({ kind: 'open', emailId })),
    linkFor(url) {
      if (own.some(prefix => url.startsWith(prefix)) || !isTrackableUrl(url)) return null;
      return clickUrl(baseUrl, tokens.sign({ kind: 'click', emailId, url }));
    },
  };
}

function macOf(payload: Buffer, secret: string): Buffer {
  return createHmac('sha256', secret).update(PURPOSE).update(payload).digest().subarray(0, MAC_BYTES);
}

function encode(content: TrackingToken): Buffer {
  if (!isUuid(content.emailId)) throw new TypeError('The id in a tracking link must be a UUID');
  const url = content.kind === 'click' ? content.url : '';
  if (content.kind === 'click' && !isTrackableUrl(url)) {
    throw new TypeError('The target of a tracking link must be an http or https URL of at most 8 KiB');
  }
  return Buffer.concat([
    Buffer.of(VERSION, KINDS.indexOf(content.kind)),
    Buffer.from(content.emailId.replaceAll('-', ''), 'hex'),
    Buffer.from(url),
  ]);
}

/** What a signed payload says. One that this version did not write, or would not write today, says nothing. */
function decode(payload: Buffer): TrackingToken | null {
  const kind = KINDS[payload[1] as number];
  if (payload[0] !== VERSION || kind === undefined) return null;
  const emailId = payload.toString('hex', HEAD_BYTES, HEAD_BYTES + ID_BYTES).replace(UUID_GROUPS, '$1-$2-$3-$4-$5');
  const url = payload.toString('utf8', HEAD_BYTES + ID_BYTES);
  if (kind === 'open') return url === '' ? { kind, emailId } : null;
  return isTrackableUrl(url) ? { kind, emailId, url } : null;
}

/** null for what is not Base64url as `sign` writes it: each content has one token only. */
function readBase64Url(token: string): Buffer | null {
  if (typeof token !== 'string' || token.length > MAX_TOKEN_LENGTH) return null;
  const bytes = Buffer.from(token, 'base64url');
  return bytes.toString('base64url') === token ? bytes : null;
}
