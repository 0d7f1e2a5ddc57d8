import { isAscii, localPartOf } from '../message/address.ts';
import { Refusal } from '../message/refusal.ts';
import type { Logger } from '../observability/log.ts';
import { undeclaredLocalPart, unsupportedLocalPart } from '../policy/decide.ts';
import { type ApiKey, hashKey } from '../store/api-keys.ts';
import type { Accepted } from './accept.ts';
import type { PathCommand } from './command-line.ts';
import type { ReceivedMessage } from './incoming-message.ts';
import { isFault, replyTo } from './reply.ts';
import type { Envelope, Submission } from './submission.ts';

/** What sessions share. */
export interface SessionDependencies {
  /** The key with this hash (`hashKey`); null for an unknown one. */
  readonly findKey: (hash: string) => Promise<ApiKey | null>;
  /** Notes that a key was used. */
  readonly markUsed: (keyId: string) => void;
  /** Those of the addresses that are on the owner's suppression list. */
  readonly findSuppressed: (userId: string, addresses: readonly string[]) => Promise<readonly string[]>;
  readonly accept: (submission: Submission) => Promise<Accepted>;
  readonly settings: SessionSettings;
  readonly logger: Logger;
}

export interface SessionSettings {
  readonly failedLogins: number;
  /** Refuse a suppressed recipient at RCPT, and not the whole message at its end. */
  readonly refuseSuppressedRecipients: boolean;
  /** Whether any transport takes other characters than ASCII in local parts; which one it is shows in From. */
  readonly smtpUtf8: boolean;
}

/**
 * What the relay makes of one client's commands. The library keeps the protocol's order (`connection.ts`); each method
 * here is one step of it, and throws what the client is told.
 */
export class Session {
  readonly #deps: SessionDependencies;
  readonly #logger: Logger;
  #keyHash: string | null = null;
  #failedLogins = 0;

  constructor(id: string, clientAddress: string, deps: SessionDependencies) {
    this.#deps = deps;
    this.#logger = deps.logger.child({ session: id, client: clientAddress });
  }

  /** AUTH: the password is the API key. */
  async authenticate(password: string): Promise<void> {
    if (this.#failedLogins >= this.#deps.settings.failedLogins) throw tooManyLogins();
    const hash = hashKey(password);
    const key = await this.#deps.findKey(hash).catch(cause => {
      throw new Refusal({ code: 454, enhancedCode: '4.7.0', text: KEYS_UNREACHABLE, rule: 'auth_fault', cause });
    });
    if (key === null) {
      this.#failedLogins += 1;
      throw new Refusal({ code: 535, enhancedCode: '5.7.8', text: 'Authentication failed', rule: 'auth' });
    }
    this.#keyHash = hash;
    this.#deps.markUsed(key.id);
  }

  /** MAIL. */
  async mail(command: PathCommand): Promise<void> {
    this.#refuseForeignLocalPart(command.address, command.args !== false && 'SMTPUTF8' in command.args);
    await this.#currentKey();
  }

  /** RCPT. @param smtpUtf8 whether MAIL said SMTPUTF8 */
  async recipient(command: PathCommand, smtpUtf8: boolean): Promise<void> {
    this.#refuseForeignLocalPart(command.address, smtpUtf8);
    if (!this.#deps.settings.refuseSuppressedRecipients) return;
    const { userId } = await this.#currentKey();
    const [suppressed] = await this.#deps.findSuppressed(userId, [command.address]);
    if (suppressed !== undefined) {
      const text = `${suppressed} is on your suppression list`;
      throw new Refusal({ code: 550, enhancedCode: '5.1.1', text, rule: 'suppressed' });
    }
  }

  /**
   * The end of DATA.
   *
   * @returns the text behind `250 2.0.0`
   */
  async message(envelope: Envelope, received: ReceivedMessage): Promise<string> {
    const started = performance.now();
    const key = await this.#currentKey();
    const owner = { userId: key.userId, keyDomain: key.domain };
    const accepted = await this.#deps.accept({ owner, envelope, ...received });
    this.#deps.markUsed(key.id);
    this.#logger.info(
      {
        emailId: accepted.emailId,
        correlationId: accepted.trace.correlationId,
        owner: key.userId,
        bytes: accepted.bytes,
        recipients: accepted.recipients,
        ms: Math.round(performance.now() - started),
      },
      accepted.repeated ? 'message repeated' : 'message queued',
    );
    return `Ok: queued as ${accepted.emailId}`;
  }

  /** Logs a command or message that was not accepted. */
  refused(step: string, error: unknown): void {
    const { code, enhancedCode, rule } = replyTo(error);
    if (isFault(error)) this.#logger.error({ err: error, step, code }, 'not accepted: fault on our side');
    else this.#logger.info({ step, code, enhancedCode, rule }, 'refused');
  }

  /** The session's key as it is now: a revoked one ends what an open connection may do. */
  async #currentKey(): Promise<ApiKey> {
    const key = this.#keyHash === null ? null : await this.#deps.findKey(this.#keyHash);
    if (key === null) {
      const text = 'The API key is not valid any more: log in again on a new connection';
      throw new Refusal({ code: 530, enhancedCode: '5.7.0', text, rule: 'key_revoked' });
    }
    return key;
  }

  /** RFC 6531 section 3.4: such an address goes with SMTPUTF8 only, and only where the transport has it too. */
  #refuseForeignLocalPart(address: string, smtpUtf8: boolean): void {
    if (address === '' || isAscii(localPartOf(address))) return;
    if (!this.#deps.settings.smtpUtf8) throw unsupportedLocalPart();
    if (!smtpUtf8) throw undeclaredLocalPart();
  }
}

const KEYS_UNREACHABLE = 'Temporary fault on our side, the key cannot be checked: try again later';

function tooManyLogins(): Refusal {
  const text = 'Too many failed logins on this connection: check the API key';
  return new Refusal({ code: 421, enhancedCode: '4.7.0', text, rule: 'failed_logins' });
}
