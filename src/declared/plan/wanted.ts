import { createHash } from 'node:crypto';
import { FormatError } from '../../config/formats/format.ts';
import { routes as routesFormat } from '../../config/formats/routes.ts';
import { descriptionOf } from '../../config/transports/list.ts';
import { hashKey, previewOf } from '../../store/keys/api-keys.ts';
import { normaliseDomain, UNSAID_TLS } from '../../store/owners/domains.ts';
import { suppressionAddress } from '../../store/owners/suppressions.ts';
import { parseEndpointUrl } from '../../webhooks/endpoint-url.ts';
import { ALL_EVENTS } from '../../webhooks/event-types.ts';
import type { DeclaredDocument } from '../documents/document.ts';
import { type MountedTexts, referenceOf } from '../documents/mounted-texts.ts';
import { FieldError } from '../documents/problem.ts';
import type { KindName, Specs } from '../kinds/kinds.ts';
import type { CredentialRow } from '../tables/credentials.ts';
import type { DomainRow } from '../tables/domains.ts';
import type { RouteRow } from '../tables/route-rows.ts';
import type { SuppressionRow } from '../tables/suppressions.ts';

/** An endpoint with its signing secret in clear. */
export interface WantedWebhook {
  readonly owner: string;
  readonly url: string;
  readonly events: readonly string[];
  readonly secret: string;
}

/** The rows that the documents of each kind are to have. */
export interface WantedRows {
  readonly Route: RouteRow;
  readonly SendingDomain: DomainRow;
  readonly SmtpCredential: CredentialRow;
  readonly SuppressionList: SuppressionRow;
  readonly WebhookEndpoint: WantedWebhook;
}

/** What a document comes to. */
export interface Wanted<K extends KindName = KindName> {
  readonly rows: readonly WantedRows[K][];
  /** SHA-256 of the spec and of the file that it names. */
  readonly hash: string;
}

/**
 * Makes the rows of a document.
 *
 * @param texts what is in the files that it names; where nobody looked for them, what is in them is not checked
 * @throws FieldError where its values, or the file, are not right
 */
export function wantedOf<K extends KindName>(document: DeclaredDocument<K>, texts: MountedTexts): Wanted<K> {
  const text = textOf(document, texts);
  const build = BUILDERS[document.kind];
  const hash = createHash('sha256')
    .update(JSON.stringify(document.spec))
    .update('\0')
    .update(text ?? '');
  return { rows: build({ ...document, text }), hash: hash.digest('hex') };
}

/** null where the document names no file, or nobody looked for it. */
function textOf(document: DeclaredDocument, texts: MountedTexts): string | null {
  const reference = referenceOf(document);
  const found = reference && texts(reference);
  if (!reference || !found) return null;
  if ('text' in found) return found.text;
  const fix = `mount the file ${reference.path}, or correct the path`;
  throw new FieldError(reference.field, `names a file that ${found.why}`, fix, 'FileUnreadable');
}

type Source<K extends KindName> = DeclaredDocument<K> & { readonly text: string | null };
type Builders = { readonly [K in KindName]: (source: Source<K>) => WantedRows[K][] };

const BUILDERS: Builders = {
  Route: ({ name, spec }) => [routeRow(name, spec)],
  SendingDomain: ({ spec }) => [domainRow(spec)],
  SmtpCredential: ({ name, spec, text }) => [credentialRow(name, spec, text)],
  SuppressionList: ({ spec, text }) => suppressionRows(spec, text),
  WebhookEndpoint: ({ spec, text }) => [webhookRow(spec, text)],
};

/** Names that are taken by the configuration are not ours to give. */
const ROUTE_NAME = /^(?!default$)[a-z0-9.-]{1,64}$/;

function routeRow(name: string, spec: Specs['Route']): RouteRow {
  if (!ROUTE_NAME.test(name)) {
    throw new FieldError(['metadata', 'name'], 'cannot name a route', 'write 64 characters or less, and not default');
  }
  const { domains = [], transport, ...groups } = spec;
  const { needs } = descriptionOf(transport);
  if (needs && spec[transport] === undefined) {
    throw new FieldError(['spec', transport], 'is missing', `write the ${needs.what} as ${transport}.${needs.setting}`);
  }
  // As an entry of the setting `routes`, which knows what its values may be; one without domains has those that name it.
  const entry = { name, domains: domains.length > 0 ? domains : ['none.invalid'], transport, ...groups };
  try {
    const [parsed] = routesFormat.parse(JSON.stringify([entry]));
    const settings = groups[transport] ?? {};
    return { name, domains: domains.length > 0 ? (parsed?.domains ?? []) : [], transport, settings };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const why = error.message.replaceAll(/routes\[0\]\.?/g, '');
    throw new FieldError(['spec'], why, 'correct it as docs/configuration.md says of routes');
  }
}

function domainRow(spec: Specs['SendingDomain']): DomainRow {
  const { owner, name, region = 'us-east-1', tracking = {}, configurationSet = null, route = null } = spec;
  const { tls = UNSAID_TLS } = spec;
  const { trackingSubdomain } = spec;
  return {
    name: domainAt(['spec', 'name'], name),
    owner,
    region,
    trackOpens: tracking.opens ?? false,
    trackClicks: tracking.clicks ?? false,
    trackingSubdomain: trackingSubdomain?.includes('.')
      ? domainAt(['spec', 'trackingSubdomain'], trackingSubdomain)
      : (trackingSubdomain?.toLowerCase() ?? null),
    configurationSet,
    tls,
    route,
  };
}

function credentialRow(name: string, spec: Specs['SmtpCredential'], text: string | null): CredentialRow {
  const { owner, domain, permission = 'sending_access', keyFile, keyHash, limits = {} } = spec;
  const key = text?.trim();
  if (key === '')
    throw new FieldError(['spec', 'keyFile'], 'names an empty file', 'put the key into it', 'FileUnreadable');
  return {
    name,
    owner,
    domain: domain === undefined ? null : domainAt(['spec', 'domain'], domain),
    permission,
    // Of a file that nobody looked for, the path has to do.
    tokenHash: keyHash ?? (key === undefined ? `file:${keyFile}` : hashKey(key)),
    preview: key === undefined ? null : previewOf(key),
    limits: { ...limits },
  };
}

function suppressionRows(spec: Specs['SuppressionList'], text: string | null): SuppressionRow[] {
  const { owner, addresses } = spec;
  const rows = new Map<string, SuppressionRow>();
  const add = (address: string, path: readonly (string | number)[], why: string): void => {
    const email = suppressionAddress(address);
    if (email === null) throw new FieldError(path, why, 'write an address such as gone@example.com');
    rows.set(email, { owner, email });
  };
  for (const [index, address] of (addresses ?? []).entries()) {
    add(address, ['spec', 'addresses', index], 'is not an email address');
  }
  for (const [index, line] of (text ?? '').split('\n').entries()) {
    const address = line.trim();
    if (address === '' || address.startsWith('#')) continue;
    add(address, ['spec', 'addressesFile'], `names a file whose line ${index + 1} is not an email address`);
  }
  // As with a folder: one that is not there yet looks the same, and all addresses would be written to again.
  if (text !== null && rows.size === 0) {
    const fix = 'put the addresses into it, or remove this document';
    throw new FieldError(['spec', 'addressesFile'], 'names a file without an address', fix, 'FileUnreadable');
  }
  return [...rows.values()];
}

/** Standard Webhooks: `whsec_` and 24 to 64 bytes in Base64. */
const SIGNING_SECRET = /^whsec_[A-Za-z0-9+/]+={0,2}$/;

function webhookRow(spec: Specs['WebhookEndpoint'], text: string | null): WantedWebhook {
  const { owner, url, events = [ALL_EVENTS] } = spec;
  const secret = text?.trim() ?? '';
  const bytes = Buffer.from(secret.slice('whsec_'.length), 'base64').length;
  if (text !== null && !(SIGNING_SECRET.test(secret) && bytes >= 24 && bytes <= 64)) {
    const fix = 'put whsec_ and 24 to 64 random bytes in Base64 into it: echo "whsec_$(openssl rand -base64 32)"';
    throw new FieldError(['spec', 'secretFile'], 'names a file that holds no signing secret', fix, 'FileUnreadable');
  }
  const wanted = events.includes(ALL_EVENTS) ? [ALL_EVENTS] : [...new Set<string>(events)];
  return { owner, url: urlAt(['spec', 'url'], url), events: wanted, secret };
}

function domainAt(path: readonly string[], name: string): string {
  try {
    return normaliseDomain(name);
  } catch {
    throw new FieldError(path, 'is not a domain name', 'write a domain name such as acme.com');
  }
}

function urlAt(path: readonly string[], url: string): string {
  try {
    return parseEndpointUrl(url);
  } catch (error) {
    // It says what is wrong, and repeats the text only where it is no URL at all.
    const why = URL.canParse(url) && error instanceof RangeError ? `is not right: ${error.message}` : 'is not a URL';
    throw new FieldError(path, why, 'write a URL such as https://acme.com/hooks/email');
  }
}
