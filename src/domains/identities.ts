import {
  AlreadyExistsException,
  CreateEmailIdentityCommand,
  GetAccountCommand,
  GetConfigurationSetCommand,
  GetEmailIdentityCommand,
  NotFoundException,
  PutEmailIdentityMailFromAttributesCommand,
  SESv2Client,
} from '@aws-sdk/client-sesv2';
import { fromTemporaryCredentials } from '@aws-sdk/credential-providers';

/** A domain as SES knows it. */
export interface SesIdentity {
  readonly name: string;
  /** Whether messages from it are sent. */
  readonly verified: boolean;
  readonly dkim: {
    /** `PENDING`, `SUCCESS`, `FAILED`, `TEMPORARY_FAILURE` or `NOT_STARTED`. */
    readonly status: string;
    /** Each is the selector of a key that SES signs with (Easy DKIM). */
    readonly tokens: readonly string[];
    /** The zone in which the keys are. */
    readonly zone: string;
  };
  /** The domain of the envelope sender that SES uses; null where that is one of its own. */
  readonly mailFrom: { readonly domain: string; readonly status: string } | null;
}

/** What SES allows the account in the region. */
export interface SesAccount {
  /** False in the sandbox, where only verified addresses are sent to. */
  readonly production: boolean;
  readonly sendingEnabled: boolean;
  /** Recipients a second. */
  readonly maxSendRate: number | null;
  readonly max24HourSend: number | null;
  readonly sentLast24Hours: number | null;
}

export interface SesConfigurationSet {
  readonly requiresTls: boolean;
}

export interface SesIdentitiesOptions {
  readonly region: string;
  /** null: where AWS says for the region. */
  readonly endpoint: string | null;
  /** A role to assume; null: the credentials as they are. */
  readonly roleArn: string | null;
}

/** A call to SES that failed, with a text for the operator. */
export class SesIdentityError extends Error {
  /** So that nobody takes it for an error of the database's connection. */
  readonly code = 'SES';

  constructor(region: string, cause: unknown) {
    super(explain(region, cause), { cause });
    this.name = 'SesIdentityError';
  }
}

const DKIM_ZONE = 'dkim.amazonses.com';
const MAX_ATTEMPTS = 3;
/** Milliseconds; a person waits. */
const TIMES = { connectionTimeout: 5_000, requestTimeout: 15_000, throwOnRequestTimeout: true } as const;

/** Sets up and looks at sending domains at SES (API v2), for the command line. Every method throws `SesIdentityError`. */
export class SesIdentities {
  readonly #client: SESv2Client;
  readonly #region: string;

  constructor({ region, endpoint, roleArn }: SesIdentitiesOptions) {
    const role = (arn: string) =>
      fromTemporaryCredentials({
        params: { RoleArn: arn, RoleSessionName: 'smtp-relay' },
        clientConfig: { region },
      });
    this.#region = region;
    this.#client = new SESv2Client({
      region,
      maxAttempts: MAX_ATTEMPTS,
      requestHandler: TIMES,
      ...(endpoint !== null && { endpoint }),
      ...(roleArn !== null && { credentials: role(roleArn) }),
    });
  }

  /** Creates the identity of a domain, with Easy DKIM and keys of 2048 bits. @returns false where it exists already */
  create(domain: string): Promise<boolean> {
    return this.#call(async () => {
      const DkimSigningAttributes = { NextSigningKeyLength: 'RSA_2048_BIT' } as const;
      try {
        await this.#client.send(new CreateEmailIdentityCommand({ EmailIdentity: domain, DkimSigningAttributes }));
        return true;
      } catch (error) {
        if (error instanceof AlreadyExistsException) return false;
        throw error;
      }
    });
  }

  /** null where SES does not know the domain in this region. */
  find(domain: string): Promise<SesIdentity | null> {
    return this.#call(async () => {
      const command = new GetEmailIdentityCommand({ EmailIdentity: domain });
      const answer = await this.#client.send(command).catch(nullIfNotFound);
      if (!answer) return null;
      const { DkimAttributes: dkim, MailFromAttributes: mailFrom, VerifiedForSendingStatus } = answer;
      return {
        name: domain,
        verified: VerifiedForSendingStatus === true,
        dkim: {
          status: dkim?.Status ?? 'NOT_STARTED',
          tokens: dkim?.Tokens ?? [],
          zone: dkim?.SigningHostedZone ?? DKIM_ZONE,
        },
        mailFrom: mailFrom?.MailFromDomain
          ? { domain: mailFrom.MailFromDomain, status: mailFrom.MailFromDomainStatus ?? 'PENDING' }
          : null,
      };
    });
  }

  /** Has SES send with an envelope sender below the domain, once its records are there. */
  setMailFrom(domain: string, mailFrom: string): Promise<void> {
    return this.#call(async () => {
      const command = new PutEmailIdentityMailFromAttributesCommand({
        EmailIdentity: domain,
        MailFromDomain: mailFrom,
        BehaviorOnMxFailure: 'USE_DEFAULT_VALUE',
      });
      await this.#client.send(command);
    });
  }

  account(): Promise<SesAccount> {
    return this.#call(async () => {
      const { ProductionAccessEnabled, SendingEnabled, SendQuota } = await this.#client.send(new GetAccountCommand({}));
      return {
        production: ProductionAccessEnabled === true,
        sendingEnabled: SendingEnabled === true,
        maxSendRate: SendQuota?.MaxSendRate ?? null,
        max24HourSend: SendQuota?.Max24HourSend ?? null,
        sentLast24Hours: SendQuota?.SentLast24Hours ?? null,
      };
    });
  }

  /** null where there is none of that name in this region. */
  configurationSet(name: string): Promise<SesConfigurationSet | null> {
    return this.#call(async () => {
      const command = new GetConfigurationSetCommand({ ConfigurationSetName: name });
      const answer = await this.#client.send(command).catch(nullIfNotFound);
      return answer && { requiresTls: answer.DeliveryOptions?.TlsPolicy === 'REQUIRE' };
    });
  }

  close(): void {
    this.#client.destroy();
  }

  async #call<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw new SesIdentityError(this.#region, error);
    }
  }
}

function nullIfNotFound(error: unknown): null {
  if (error instanceof NotFoundException) return null;
  throw error;
}

function explain(region: string, cause: unknown): string {
  const { name, message } = cause instanceof Error ? cause : new Error(String(cause));
  if (name === 'CredentialsProviderError') {
    return `no AWS credentials: ${message}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE`;
  }
  const answered = cause instanceof Error && '$metadata' in cause && '$fault' in cause;
  return answered
    ? `Amazon SES in ${region} answers ${name}: ${message}`
    : `Amazon SES in ${region} cannot be reached: ${message}`;
}
