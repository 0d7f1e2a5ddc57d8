import type { Installation, Kind, KindTable } from './kind.ts';
import { route } from './route.ts';
import { sendingDomain } from './sending-domain.ts';
import { smtpCredential } from './smtp-credential.ts';
import { suppressionList } from './suppression-list.ts';
import { webhookEndpoint } from './webhook-endpoint.ts';

/** In the order in which they are brought about: a domain may name a route. */
const LIST = {
  Route: route,
  SendingDomain: sendingDomain,
  SmtpCredential: smtpCredential,
  SuppressionList: suppressionList,
  WebhookEndpoint: webhookEndpoint,
};

export type KindName = keyof typeof LIST;
export const KINDS = Object.keys(LIST) as readonly KindName[];
export const kinds = LIST as Readonly<Record<KindName, Kind>>;

export function isKind(word: unknown): word is KindName {
  return KINDS.some(kind => kind === word);
}

export type Tables = Readonly<Record<KindName, KindTable>>;

/** @param installation as a rule, OpenSend is not there, and a domain has one owner */
export function createTables({
  pipeline = 'standalone',
  sharedDomains = false,
  ...rest
}: Pick<Installation, 'box'> & Partial<Installation>): Tables {
  const installation = { pipeline, sharedDomains, ...rest };
  return Object.fromEntries(KINDS.map(kind => [kind, kinds[kind].table(installation)])) as Tables;
}
