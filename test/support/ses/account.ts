import { createHash } from 'node:crypto';
import { recipientsOf, type SendEmailRequest } from './mailbox.ts';
import { SesError } from './ses-error.ts';
import { returnPathDomain } from './strict/raw.ts';
import { refuseRequest } from './strict/request.ts';

export interface AccountOptions {
  /** Recipients a second, as GetAccount says; 0: no limit is kept, and GetAccount says 14 as a new account's would. */
  readonly maxSendRate: number;
  /** Whether more than that is answered with TooManyRequestsException. */
  readonly enforceRate: boolean;
  /** In the sandbox only verified identities may be named. */
  readonly sandbox: boolean;
  /** The configuration sets that exist, with their TLS policy; null: every name exists, with `OPTIONAL`. */
  readonly configurationSets: Readonly<Record<string, 'REQUIRE' | 'OPTIONAL'>> | null;
  /** Whether identities are verified as soon as they are made. */
  readonly verifyAtOnce: boolean;
  /** Whether what AWS documents as refused is refused (`strict/request.ts`). */
  readonly strict: boolean;
}

export interface Identity {
  readonly name: string;
  verified: boolean;
  mailFromDomain: string | null;
  configurationSet: string | null;
  readonly dkimTokens: readonly string[];
}

const DEFAULT_RATE = 14;

/** The rules of an SES account: identities, configuration sets, quotas. */
export class Account {
  readonly options: AccountOptions;
  readonly identities = new Map<string, Identity>();
  readonly tlsPolicies: Map<string, string> | null;
  /** The account's own list. */
  readonly suppressed: { readonly email: string; readonly reason: 'BOUNCE' | 'COMPLAINT'; readonly at: Date }[] = [];
  /** Configuration sets for which sending is paused. */
  readonly pausedSets = new Set<string>();
  maxSendRate: number;
  #credit: number;
  #countedAt = performance.now();

  constructor(options: AccountOptions) {
    this.options = options;
    this.maxSendRate = options.maxSendRate || DEFAULT_RATE;
    this.#credit = this.maxSendRate;
    this.tlsPolicies = options.configurationSets && new Map(Object.entries(options.configurationSets));
  }

  createIdentity(name: string): Identity {
    if (this.identities.has(name))
      throw new SesError(400, 'AlreadyExistsException', `Identity ${name} already exists.`);
    const dkimTokens = [1, 2, 3].map(index => token(`${name}/${index}`));
    const verified = this.options.verifyAtOnce;
    const identity = { name, verified, mailFromDomain: null, configurationSet: null, dkimTokens };
    this.identities.set(name, identity);
    return identity;
  }

  identity(name: string): Identity {
    const identity = this.identities.get(name);
    if (!identity) throw new SesError(404, 'NotFoundException', `Email identity ${name} does not exist.`);
    return identity;
  }

  /** @throws SesError 404 */
  tlsPolicy(configurationSet: string): string {
    const policy = this.tlsPolicies === null ? 'OPTIONAL' : this.tlsPolicies.get(configurationSet);
    if (policy === undefined) {
      throw new SesError(404, 'NotFoundException', `Configuration set <${configurationSet}> does not exist.`);
    }
    return policy;
  }

  /** @throws SesError as SES would refuse it */
  admit(request: SendEmailRequest): void {
    const recipients = recipientsOf(request);
    if (this.options.strict) this.#refuse(request);
    const set = request.ConfigurationSetName;
    if (set) this.tlsPolicy(set);
    if (set && this.pausedSets.has(set))
      throw new SesError(400, 'SendingPausedException', `Sending is paused for configuration set ${set}.`);
    if (this.options.sandbox) this.#checkIdentities(recipients);
    if (this.options.enforceRate) this.#spend(Math.max(1, recipients.length));
  }

  /** "You are required to verify the From, Source, Sender, and Return-Path email addresses or domains" (SES quotas). */
  #refuse(request: SendEmailRequest): void {
    const refusal = refuseRequest(request);
    if (refusal) throw refusal;
    const data = request.Content?.Raw?.Data;
    const domain = data ? returnPathDomain(Buffer.from(data, 'base64')) : null;
    if (domain !== null) this.#checkIdentities([domain]);
  }

  #checkIdentities(addresses: readonly string[]): void {
    const failed = addresses.filter(address => {
      const names = [address, address.slice(address.lastIndexOf('@') + 1)];
      return !names.some(name => this.identities.get(name)?.verified);
    });
    if (failed.length === 0) return;
    const text = `Email address is not verified. The following identities failed the check in region US-EAST-1: ${failed.join(', ')}`;
    throw new SesError(400, 'MessageRejected', text);
  }

  #spend(recipients: number): void {
    const now = performance.now();
    this.#credit = Math.min(this.maxSendRate, this.#credit + ((now - this.#countedAt) / 1000) * this.maxSendRate);
    this.#countedAt = now;
    // More than a second's worth goes when a whole second's worth is there.
    if (this.#credit < Math.min(recipients, this.maxSendRate)) {
      throw new SesError(429, 'TooManyRequestsException', 'Maximum sending rate exceeded.');
    }
    this.#credit -= recipients;
  }
}

function token(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
