import { createLookupCache, type LookupCache } from '../../../flow/lookup-cache.ts';
import type { Logger } from '../../../observability/log.ts';
import type { Span } from '../../../observability/tracing.ts';
import type {
  Outcome,
  OutgoingMessage,
  RecipientOutcome,
  SendAllowance,
  SendingDomain,
  Transport,
} from '../contract.ts';
import { classifySes } from './classify.ts';
import { divider, mayBeOneAddress } from './divide.ts';
import { faultOf, SesCallError, SesHttpHandler } from './http.ts';
import type { SesMetrics } from './metrics.ts';
import { SendRates } from './rate/account.ts';
import type { RateStore } from './rate/buckets.ts';
import { SesRegion } from './region.ts';
import { SesBodyHash, sendEmailParameters } from './request.ts';

export interface SesOptions {
  /** null: where AWS says for the region. */
  readonly endpoint: string | null;
  /** The region of messages without a domain of the owner's. */
  readonly region: string;
  /** The configuration set of messages whose domain has none. */
  readonly configurationSet: string | null;
  /** A role to assume; null: the credentials as they are. */
  readonly roleArn: string | null;
  /** Recipients a second over all workers; 0: as GetAccount says. */
  readonly sendRate: number;
  /** Milliseconds for one call. */
  readonly timeout: number;
}

export interface SesDependencies {
  readonly options: SesOptions;
  /** How many workers live, this one included: they share the send rate. */
  readonly liveWorkers: () => number;
  /** The limiters of one worker by account: transports with the same map share what an account may send. */
  readonly sharedRates?: Map<string, SendRates>;
  /** Where all workers take from what an account may send. */
  readonly rateStore?: RateStore;
  readonly metrics?: SesMetrics;
  readonly logger: Logger;
}

export interface SesTransport extends Transport {
  /**
   * Waits for this worker's share of the send rate of the region that the message goes through.
   *
   * @throws the signal's reason
   */
  admit(recipients: number, signal: AbortSignal, message: Pick<OutgoingMessage, 'domain'>): Promise<void>;
}

/** SES API v2, SendEmail: Destination. */
const MAX_RECIPIENTS = 50;
const CONNECT_TIMEOUT = 10_000;
const REGION = /^[a-z]{2,4}(-[a-z]+){1,3}-\d{1,2}$/;
/** More than AWS has; a region takes memory, and its name comes from the database. */
const MAX_REGIONS = 100;
const MAX_TLS_POLICIES = 1_000;
/** A set that was just changed to demand TLS works within half a minute. */
const TLS_POLICY_TTL = { required: 300_000, optional: 30_000 };

/**
 * Sends through Amazon SES (API v2), as the message is. Region and configuration set are those of the sender's domain, else
 * the configured ones. Every call carries the tag `smtp-relay-email-id`.
 *
 * `domains.tls` = `enforced`: SES has no such parameter; whether TLS is demanded is a property of the configuration set
 * (DeliveryOptions.TlsPolicy). It is looked up (ses:GetConfigurationSet) and not changed, because other domains may use the
 * same set. Unless it is REQUIRE, the message is not sent but tried again, and its error says what is to be set.
 */
export function createSesTransport(dependencies: SesDependencies): SesTransport {
  const { options, logger } = dependencies;
  const regions = new Regions(options);
  const rates = sendRatesOf(dependencies, regions);
  const tlsPolicies = createTlsPolicies(regions);
  const regionOf = (domain: SendingDomain | null) => domain?.region || options.region;
  const setOf = (domain: SendingDomain | null) => domain?.configurationSet || options.configurationSet;

  function allowance({ domain }: Pick<OutgoingMessage, 'domain'>): SendAllowance | null {
    const region = regionOf(domain);
    // What is no region is for `send` to refuse.
    return REGION.test(region) ? rates.allowance(region) : null;
  }

  /** One call. @throws SesCallError and whatever came before the request */
  async function sendOnce(message: OutgoingMessage, signal: AbortSignal, span?: Span): Promise<string> {
    const region = regionOf(message.domain);
    const configurationSet = setOf(message.domain);
    if (message.domain?.tls === 'enforced') await demandTls(tlsPolicies, region, configurationSet);
    const parameters = sendEmailParameters(message, configurationSet);
    return regions.get(region).sendEmail(parameters, message.raw, signal, span);
  }

  /** One call, and what came of it. */
  async function call(message: OutgoingMessage, signal: AbortSignal, span?: Span): Promise<Outcome> {
    const outcome = await sendOnce(message, signal, span).then(sentOutcome, (error: unknown) => {
      const failure = classifySes(faultOf(error));
      logger[levelOf(failure)](
        { err: error, emailId: message.emailId, code: failure.code },
        'SES did not take a message',
      );
      return failure;
    });
    if (outcome.kind === 'transient' && outcome.throttled) allowance(message)?.throttled();
    return outcome;
  }

  /** A part of a call that was refused, which waits for the send rate as every call does. */
  async function callPart(message: OutgoingMessage, signal: AbortSignal, span?: Span): Promise<Outcome> {
    try {
      await admit(message.recipients.length, signal, message);
    } catch {
      return STOPPED;
    }
    return call(message, signal, span);
  }

  const divide = divider(callPart);

  async function send(
    message: OutgoingMessage,
    signal: AbortSignal,
    span?: Span,
  ): Promise<readonly RecipientOutcome[]> {
    const { recipients } = message;
    const outcome = await call(message, signal, span);
    if (recipients.length === 1 || !mayBeOneAddress(outcome, recipients)) return [{ recipients, outcome }];
    return divide(message, outcome, signal, span);
  }

  async function admit(
    recipients: number,
    signal: AbortSignal,
    message: Pick<OutgoingMessage, 'domain'>,
  ): Promise<void> {
    const region = regionOf(message.domain);
    if (REGION.test(region)) await rates.take(region, recipients, signal);
  }

  return {
    kind: 'ses',
    maxRecipients: MAX_RECIPIENTS,
    admit,
    region: ({ domain }) => regionOf(domain),
    part: ({ domain }) => setOf(domain) ?? '',
    allowance,
    preview: () => new SesBodyHash(),
    send,
    async close() {
      regions.close();
    },
  };
}

/** For who waits for the send rate when the worker is stopped: nothing was called. */
const STOPPED: Outcome = {
  kind: 'transient',
  code: 'Stopped',
  message: 'the worker was stopped before it could try these recipients again',
};

/** Two transports on one account have one send rate between them, unless each has one of its own configured. */
function sendRatesOf({ options, sharedRates, rateStore, ...rest }: SesDependencies, regions: Regions): SendRates {
  const account = JSON.stringify([options.endpoint, options.roleArn, options.sendRate]);
  const known = sharedRates?.get(account);
  if (known) return known;
  const rates = new SendRates({
    quota: region => regions.get(region).accountQuota(),
    fixedRate: options.sendRate,
    account,
    accountLabel: /^arn:[^:]*:iam::(\d+):/.exec(options.roleArn ?? '')?.[1] ?? 'default',
    ...(rateStore && { store: rateStore }),
    ...rest,
  });
  sharedRates?.set(account, rates);
  return rates;
}

/** What is the message's own fault, and what is only too much, fills no log. */
function levelOf(failure: Exclude<Outcome, { readonly kind: 'sent' }>): 'debug' | 'warn' {
  return failure.kind === 'permanent' || failure.throttled ? 'debug' : 'warn';
}

/** The clients, one a region, over one pool of connections. */
class Regions {
  readonly #options: SesOptions;
  readonly #handler: SesHttpHandler;
  readonly #regions = new Map<string, SesRegion>();

  constructor(options: SesOptions) {
    this.#options = options;
    const { timeout } = options;
    this.#handler = new SesHttpHandler({ timeout, connectTimeout: Math.min(timeout, CONNECT_TIMEOUT) });
  }

  /** @throws SesCallError for a name that cannot be a region's */
  get(name: string): SesRegion {
    const known = this.#regions.get(name);
    if (known) return known;
    if (!REGION.test(name) || this.#regions.size >= MAX_REGIONS)
      throw notSent('UnknownRegion', `"${name}" is no AWS region`);
    const region = new SesRegion({ ...this.#options, region: name, handler: this.#handler });
    this.#regions.set(name, region);
    return region;
  }

  close(): void {
    for (const region of this.#regions.values()) region.close();
    this.#handler.destroy();
  }
}

/** By region and configuration set: no region's name has a slash in it. */
function createTlsPolicies(regions: Regions): LookupCache<boolean> {
  return createLookupCache({
    find: async key => {
      const slash = key.indexOf('/');
      return regions.get(key.slice(0, slash)).requiresTls(key.slice(slash + 1));
    },
    ttl: required => (required ? TLS_POLICY_TTL.required : TLS_POLICY_TTL.optional),
    max: MAX_TLS_POLICIES,
  });
}

/** @throws SesCallError unless the configuration set demands TLS */
async function demandTls(policies: LookupCache<boolean>, region: string, set: string | null): Promise<void> {
  const wanted = 'the domain demands TLS';
  if (set === null)
    throw notSent('TlsNotEnforced', `${wanted}, and no configuration set that enforces it is configured`);
  let required: boolean;
  try {
    required = await policies.lookup(`${region}/${set}`);
  } catch (error) {
    const { name } = error instanceof Error ? error : new Error(String(error));
    const text = `${wanted}, and the configuration set "${set}" could not be looked up (ses:GetConfigurationSet): ${name}`;
    throw notSent('TlsPolicyUnknown', text, { cause: error });
  }
  const advice = `set its TLS policy to REQUIRE (PutConfigurationSetDeliveryOptions)`;
  if (!required) throw notSent('TlsNotEnforced', `${wanted}, and the configuration set "${set}" does not: ${advice}`);
}

function notSent(code: string, message: string, options?: ErrorOptions): SesCallError {
  return new SesCallError({ stage: 'not-sent', code, message }, options);
}

function sentOutcome(providerMessageId: string): Outcome {
  return { kind: 'sent', providerMessageId };
}
