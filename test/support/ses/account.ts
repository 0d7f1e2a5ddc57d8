import { createHash } from 'node:crypto';
import { recipientsOf, type SendEmailRequest } from './mailbox.ts';
import { SesError } from './ses-error.ts';

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
}

export interface Identity {
  readonly name: string;
  verified: boolean;
  mailFromDomain: string | null;
  configurationSet: string | null;
  readonly dkimTokens: readonly string[];
}

const DEFAULT_RATE = 14;
const MAX_RECIPIENTS = 50;
/** SES v2 quotas: 40 MB, counted in the form that is sent. */
const MAX_MESSAGE = 41_943_040;
const TAG = /^[A-Za-z0-9_.@-]{1,256}$/;

/** The rules of an SES account: identities, configuration sets, quotas. */
export class Account {
  readonly options: AccountOptions;
  readonly identities = new Map<string, Identity>();
  readonly tlsPolicies: Map<string, string> | null;
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
    const data = request.Content?.Raw?.Data ?? '';
    if (!data && !request.Content?.Simple) throw badRequest('Raw or simple content is missing.');
    if (recipients.length > MAX_RECIPIENTS) throw badRequest('Recipient count exceeds 50.');
    const bytes = Buffer.byteLength(data, 'base64');
    if (bytes > MAX_MESSAGE) throw badRequest(`Message length is more than ${MAX_MESSAGE} bytes long: '${bytes}'.`);
    const tags = request.EmailTags ?? [];
    if (tags.length > MAX_RECIPIENTS) throw badRequest('Too many message tags.');
    if (tags.some(({ Name, Value }) => !TAG.test(Name) || !TAG.test(Value))) throw badRequest('Invalid message tag.');
    if (new Set(tags.map(({ Name }) => Name)).size < tags.length) throw badRequest('Duplicate message tag name.');
    if (request.ConfigurationSetName) this.tlsPolicy(request.ConfigurationSetName);
    if (this.options.sandbox) this.#checkIdentities(recipients);
    if (this.options.enforceRate) this.#spend(Math.max(1, recipients.length));
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

function badRequest(message: string): SesError {
  return new SesError(400, 'BadRequestException', message);
}

function token(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
