import { isAscii } from 'node:buffer';
import type { Account, Identity } from './account.ts';
import type { Mailbox, SendEmailRequest } from './mailbox.ts';
import { SesError } from './ses-error.ts';
import type { Caller } from './sigv4.ts';

export interface Call {
  readonly account: Account;
  readonly mailbox: Mailbox;
  readonly caller: Caller;
  /** What stands for `:name` in the path, decoded. */
  readonly name: string;
  readonly query: URLSearchParams;
  readonly body: Buffer;
}

export interface Operation {
  readonly name: string;
  readonly method: string;
  readonly path: RegExp;
  /** @returns the JSON of a 200. @throws SesError */
  run(call: Call): object;
}

const NAME = '([^/?]+)';
const identityPath = (suffix = '') => new RegExp(`^/v2/email/identities/${NAME}${suffix}$`);

/** Those of the SES API v2 that the relay calls, and people by the documentation (REST JSON 1). */
export const OPERATIONS: readonly Operation[] = [
  { name: 'SendEmail', method: 'POST', path: /^\/v2\/email\/outbound-emails$/, run: sendEmail },
  { name: 'GetAccount', method: 'GET', path: /^\/v2\/email\/account$/, run: getAccount },
  { name: 'CreateEmailIdentity', method: 'POST', path: /^\/v2\/email\/identities$/, run: createIdentity },
  { name: 'ListEmailIdentities', method: 'POST', path: /^\/v2\/email\/list-identities$/, run: listIdentities },
  { name: 'GetEmailIdentity', method: 'GET', path: identityPath(), run: getIdentity },
  { name: 'DeleteEmailIdentity', method: 'DELETE', path: identityPath(), run: deleteIdentity },
  { name: 'PutEmailIdentityMailFromAttributes', method: 'PUT', path: identityPath('/mail-from'), run: putMailFrom },
  {
    name: 'PutEmailIdentityConfigurationSetAttributes',
    method: 'PUT',
    path: identityPath('/configuration-set'),
    run: putIdentitySet,
  },
  { name: 'CreateConfigurationSet', method: 'POST', path: /^\/v2\/email\/configuration-sets$/, run: createSet },
  {
    name: 'GetConfigurationSet',
    method: 'GET',
    path: new RegExp(`^/v2/email/configuration-sets/${NAME}$`),
    run: getSet,
  },
  {
    name: 'PutConfigurationSetDeliveryOptions',
    method: 'PUT',
    path: new RegExp(`^/v2/email/configuration-sets/${NAME}/delivery-options$`),
    run: putDeliveryOptions,
  },
  {
    name: 'ListSuppressedDestinations',
    method: 'GET',
    path: /^\/v2\/email\/suppression\/addresses$/,
    run: listSuppressed,
  },
];

function read<T>(body: Buffer): T {
  try {
    // Bytes of ASCII, as a raw message's Base64 is, need no decoding.
    return JSON.parse(body.toString(isAscii(body) ? 'latin1' : 'utf8') || '{}') as T;
  } catch {
    throw new SesError(400, 'SerializationException', 'The request is not JSON.');
  }
}

function sendEmail({ account, mailbox, caller, body }: Call): object {
  const request = read<SendEmailRequest>(body);
  account.admit(request);
  return { MessageId: mailbox.add(request, caller) };
}

function getAccount({ account, mailbox }: Call): object {
  return {
    DedicatedIpAutoWarmupEnabled: false,
    EnforcementStatus: 'HEALTHY',
    ProductionAccessEnabled: !account.options.sandbox,
    SendQuota: { Max24HourSend: 50_000, MaxSendRate: account.maxSendRate, SentLast24Hours: mailbox.count },
    SendingEnabled: true,
  };
}

function createIdentity({ account, body }: Call): object {
  const { EmailIdentity, ConfigurationSetName } = read<{ EmailIdentity: string; ConfigurationSetName?: string }>(body);
  const identity = account.createIdentity(EmailIdentity);
  identity.configurationSet = ConfigurationSetName ?? null;
  const { IdentityType, VerifiedForSendingStatus, DkimAttributes } = describe(identity);
  return { IdentityType, VerifiedForSendingStatus, DkimAttributes };
}

function getIdentity({ account, name }: Call): object {
  return describe(account.identity(name));
}

function listIdentities({ account }: Call): object {
  const identities = [...account.identities.values()].map(identity => ({
    IdentityName: identity.name,
    IdentityType: typeOf(identity),
    SendingEnabled: identity.verified,
    VerificationStatus: statusOf(identity),
  }));
  return { EmailIdentities: identities };
}

function deleteIdentity({ account, name }: Call): object {
  account.identity(name);
  account.identities.delete(name);
  return {};
}

function putMailFrom({ account, name, body }: Call): object {
  account.identity(name).mailFromDomain = read<{ MailFromDomain?: string }>(body).MailFromDomain ?? null;
  return {};
}

function putIdentitySet({ account, name, body }: Call): object {
  account.identity(name).configurationSet = read<{ ConfigurationSetName?: string }>(body).ConfigurationSetName ?? null;
  return {};
}

interface DeliveryOptions {
  readonly TlsPolicy?: string;
}

function createSet({ account, body }: Call): object {
  const request = read<{ ConfigurationSetName: string; DeliveryOptions?: DeliveryOptions }>(body);
  const name = request.ConfigurationSetName;
  if (account.tlsPolicies?.has(name)) {
    throw new SesError(400, 'AlreadyExistsException', `Configuration set <${name}> already exists.`);
  }
  account.tlsPolicies?.set(name, request.DeliveryOptions?.TlsPolicy ?? 'OPTIONAL');
  return {};
}

function getSet({ account, name }: Call): object {
  return {
    ConfigurationSetName: name,
    DeliveryOptions: { TlsPolicy: account.tlsPolicy(name) },
    SendingOptions: { SendingEnabled: true },
  };
}

function putDeliveryOptions({ account, name, body }: Call): object {
  account.tlsPolicy(name);
  account.tlsPolicies?.set(name, read<DeliveryOptions>(body).TlsPolicy ?? 'OPTIONAL');
  return {};
}

function listSuppressed({ account, query }: Call): object {
  const from = Date.parse(query.get('StartDate') ?? '1970-01-01T00:00:00Z');
  const to = Date.parse(query.get('EndDate') ?? '9999-01-01T00:00:00Z');
  const listed = account.suppressed.filter(({ at }) => at.getTime() >= from && at.getTime() <= to);
  return {
    SuppressedDestinationSummaries: listed.map(({ email, reason, at }) => ({
      EmailAddress: email,
      Reason: reason,
      LastUpdateTime: at.getTime() / 1_000,
    })),
  };
}

function describe(identity: Identity) {
  return {
    IdentityType: typeOf(identity),
    FeedbackForwardingStatus: true,
    VerifiedForSendingStatus: identity.verified,
    VerificationStatus: statusOf(identity),
    DkimAttributes: {
      SigningEnabled: true,
      Status: statusOf(identity),
      SigningAttributesOrigin: 'AWS_SES',
      Tokens: identity.dkimTokens,
    },
    ...(identity.mailFromDomain !== null && {
      MailFromAttributes: {
        MailFromDomain: identity.mailFromDomain,
        MailFromDomainStatus: statusOf(identity),
        BehaviorOnMxFailure: 'USE_DEFAULT_VALUE',
      },
    }),
    ...(identity.configurationSet !== null && { ConfigurationSetName: identity.configurationSet }),
  };
}

function typeOf({ name }: Identity): string {
  return name.includes('@') ? 'EMAIL_ADDRESS' : 'DOMAIN';
}

function statusOf({ verified }: Identity): string {
  return verified ? 'SUCCESS' : 'PENDING';
}
