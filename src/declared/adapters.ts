import type { Pipeline } from '../store/schema/pipeline.ts';
import type { SecretBox } from '../webhooks/signing.ts';
import type { KindName } from './kinds/kinds.ts';
import type { Failure } from './plan/desired.ts';
import type { WantedRows, WantedWebhook } from './plan/wanted.ts';
import { declaredCredentials } from './tables/credentials.ts';
import { createDeclaredDomains } from './tables/domains.ts';
import { declaredRouteRows } from './tables/route-rows.ts';
import { declaredSuppressions } from './tables/suppressions.ts';
import type { DeclaredTable } from './tables/table.ts';
import { declaredWebhooks, type WebhookRow } from './tables/webhooks.ts';

/** How a kind is brought into its table: `W` is what a document wants, `S` what is stored. */
export interface Adapter<W = unknown, S = unknown> {
  readonly table: DeclaredTable<S>;
  /** Tells rows apart; no two of the table may have the same. */
  identityOf(row: W | S): string;
  /** The names of what is another in the table. */
  differences(wanted: W, stored: S, id: string): string[];
  /** What is to be written. @throws SecretError where a secret cannot be kept */
  toStored(wanted: W, id: string): S;
  /**
   * What becomes of a document whose row was made by somebody else: `conflict`, it is not touched, and the object is not ready;
   * `satisfied`, the row is as good as one of ours.
   */
  readonly standing: 'conflict' | 'satisfied';
  /** Why no document of the kind can be brought about in this database; left out where it can. */
  readonly refusal?: Failure;
  /** What else may be done about two that are the same, as the end of a sentence; left out where nothing can. */
  readonly alternative?: string;
}

export type Adapters = Readonly<Record<KindName, Adapter>>;

type Plain<K extends KindName> = Adapter<WantedRows[K], WantedRows[K]>;

export interface AdapterOptions {
  /** Which one the database is used with; OpenSend manages some kinds itself. */
  readonly pipeline?: Pipeline;
  /** Whether two owners may have one domain. */
  readonly sharedDomains?: boolean;
}

export function createAdapters(
  box: SecretBox,
  { pipeline = 'standalone', sharedDomains = false }: AdapterOptions = {},
): Adapters {
  const route: Plain<'Route'> = { ...plain, table: declaredRouteRows, identityOf: ({ name }) => name };
  const domain: Plain<'SendingDomain'> = {
    ...plain,
    table: createDeclaredDomains(sharedDomains),
    identityOf: ({ owner, name }) => (sharedDomains ? `${owner}\n${name}` : name),
    ...(!sharedDomains && { alternative: 'or set domains.shared where two owners are to have one domain' }),
  };
  const credential: Plain<'SmtpCredential'> = {
    ...plain,
    table: declaredCredentials,
    identityOf: ({ tokenHash }) => tokenHash,
  };
  const suppression: Plain<'SuppressionList'> = {
    ...plain,
    table: declaredSuppressions,
    identityOf: ({ owner, email }) => `${owner}\n${email}`,
    standing: 'satisfied',
  };
  return {
    Route: pipeline === 'opensend' ? { ...route, refusal: OPENSEND_DELIVERS } : route,
    SendingDomain: domain,
    SmtpCredential: credential,
    SuppressionList: suppression,
    WebhookEndpoint:
      pipeline === 'opensend' ? { ...webhookAdapter(box), refusal: OPENSEND_TELLS } : webhookAdapter(box),
  } as Adapters;
}

const OPENSEND_DELIVERS: Failure = {
  reason: 'NotBesideOpenSend',
  message: "OpenSend's own worker delivers, and knows no routes (pipeline opensend): remove this document.",
};

const OPENSEND_TELLS: Failure = {
  reason: 'NotBesideOpenSend',
  message:
    "OpenSend's dashboard manages webhooks, and its worker signs with secrets that are encrypted with a key of its own " +
    '(pipeline opensend): add the endpoint in the dashboard, and remove this document.',
};

const plain = {
  differences: (wanted: object, stored: object): string[] => differingFields(wanted, stored),
  toStored: <R>(wanted: R): R => wanted,
  standing: 'conflict',
} as const;

function webhookAdapter(box: SecretBox): Adapter<WantedWebhook, WebhookRow> {
  const isSame = (secret: string, sealed: string | null, id: string): boolean => {
    try {
      return sealed !== null && box.open(sealed, id) === secret;
    } catch {
      // Sealed with a key that is gone, or not by us: it is written anew.
      return false;
    }
  };
  return {
    table: declaredWebhooks,
    identityOf: ({ owner, url }) => `${owner}\n${url}`,
    differences({ secret, ...wanted }, { secret: sealed, ...stored }, id) {
      return [...differingFields(wanted, stored), ...(isSame(secret, sealed, id) ? [] : ['secret'])];
    },
    toStored: ({ secret, ...wanted }, id) => ({ ...wanted, secret: box.seal(secret, id) }),
    standing: 'conflict',
  };
}

function differingFields(wanted: object, stored: object): string[] {
  const values = new Map(Object.entries(stored));
  return Object.entries(wanted).flatMap(([field, value]) => (isEqual(value, values.get(field)) ? [] : [field]));
}

/** JSON values; Postgres keeps the keys of an object in an order of its own. */
function isEqual(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const [entries, others] = [Object.entries(one), new Map(Object.entries(other))];
  return entries.length === others.size && entries.every(([key, value]) => isEqual(value, others.get(key)));
}
