import { policyRefusal } from '../refusal.ts';
import { fieldsNamed, type HeaderField } from './fields.ts';

/** A tag as the `emails` table and SES carry it. */
export interface Tag {
  readonly name: string;
  readonly value: string;
}

/** What a client asks of the worker by header fields. It is stored with the message, and no file on the way there names its members. */
export interface DeliveryControls {
  /** null: as the domain is set up. */
  readonly trackOpens: boolean | null;
  readonly trackClicks: boolean | null;
}

/** All that a client asks by header fields, which are stripped before sending. */
export interface ControlSettings extends DeliveryControls {
  readonly idempotencyKey: string | null;
  readonly tags: readonly Tag[];
}

/** In lower case; where several are there, the first counts. */
const NAMES = {
  idempotencyKey: ['x-opensend-idempotency-key', 'resend-idempotency-key'],
  namedTags: ['x-opensend-tag', 'x-ses-message-tags'],
  plainTags: ['x-pm-tag', 'x-mailgun-tag'],
  trackOpens: ['x-opensend-track-opens', 'x-pm-trackopens', 'x-mailgun-track-opens'],
  trackClicks: ['x-opensend-track-clicks', 'x-pm-tracklinks', 'x-mailgun-track-clicks'],
  /** Mailgun's switch for opens and clicks. */
  track: ['x-mailgun-track'],
} as const;
const CONTROL_NAMES: ReadonlySet<string> = new Set(Object.values(NAMES).flat());
const MAX_IDEMPOTENCY_KEY = 256;
/** SES takes at most 50 tags a message (SES v2 API, SendEmail, EmailTags). */
const MAX_TAGS = 50;
const TAG_PART = /^[A-Za-z0-9_-]{1,256}$/;
const ON = new Set(['yes', 'true', 'htmlandtext', 'htmlonly', 'textonly']);
const OFF = new Set(['no', 'false', 'none']);

/**
 * Whether a header field is for the relay and must not leave it: `X-OpenSend-*` and its aliases, and every `X-SES-*`,
 * since those pick SES identities (SES developer guide, "header fields").
 *
 * @param name in lower case
 */
export function isControlHeader(name: string): boolean {
  return CONTROL_NAMES.has(name) || name.startsWith('x-opensend-') || name.startsWith('x-ses-');
}

/** @throws Refusal 550 5.7.1 that names the header field and what it takes. */
export function readControlHeaders(fields: readonly HeaderField[]): ControlSettings {
  const control = fields.filter(field => isControlHeader(field.name.toLowerCase()));
  return control.length === 0 ? NOTHING_ASKED : read(control);
}

const NOTHING_ASKED: ControlSettings = Object.freeze(read([]));

function read(control: readonly HeaderField[]): ControlSettings {
  const both = readSwitch(control, NAMES.track);
  return {
    idempotencyKey: readIdempotencyKey(control),
    tags: readTags(control),
    trackOpens: readSwitch(control, NAMES.trackOpens) ?? both,
    trackClicks: readSwitch(control, NAMES.trackClicks) ?? both,
  };
}

function allNamed(fields: readonly HeaderField[], names: readonly string[]): HeaderField[] {
  return names.flatMap(name => fieldsNamed(fields, name));
}

function readIdempotencyKey(fields: readonly HeaderField[]): string | null {
  const found = allNamed(fields, NAMES.idempotencyKey);
  const [field] = found;
  if (field === undefined) return null;
  if (found.some(other => other.value !== field.value)) {
    throw refused(field, 'is given twice with different values: give one');
  }
  if (field.value === '' || field.value.length > MAX_IDEMPOTENCY_KEY) {
    throw refused(field, `must have 1 to ${MAX_IDEMPOTENCY_KEY} characters`);
  }
  return field.value;
}

function readTags(fields: readonly HeaderField[]): Tag[] {
  const named = allNamed(fields, NAMES.namedTags).flatMap(field =>
    field.value.split(',').map(part => namedTag(field, part)),
  );
  const plain = allNamed(fields, NAMES.plainTags).map(field => checkedTag(field, 'tag', field.value));
  const tags = [...named, ...plain];
  const [first] = allNamed(fields, [...NAMES.namedTags, ...NAMES.plainTags]);
  if (first !== undefined && tags.length > MAX_TAGS) throw refused(first, `may be given for at most ${MAX_TAGS} tags`);
  return tags;
}

function namedTag(field: HeaderField, text: string): Tag {
  const [name, value, ...rest] = text.split('=').map(part => part.trim());
  if (name === undefined || value === undefined || rest.length > 0)
    throw refused(field, 'must be of the form name=value');
  return checkedTag(field, name, value);
}

function checkedTag(field: HeaderField, name: string, value: string): Tag {
  if (TAG_PART.test(name) && TAG_PART.test(value)) return { name, value };
  throw refused(field, 'takes names and values of 1 to 256 letters A-Z a-z, digits, "_" and "-"');
}

function readSwitch(fields: readonly HeaderField[], names: readonly string[]): boolean | null {
  const [field] = allNamed(fields, names);
  if (field === undefined) return null;
  const value = field.value.toLowerCase();
  if (ON.has(value)) return true;
  if (OFF.has(value)) return false;
  throw refused(field, 'must be yes or no');
}

function refused(field: HeaderField, why: string) {
  return policyRefusal('control_header', `Header ${field.name} ${why}`);
}
