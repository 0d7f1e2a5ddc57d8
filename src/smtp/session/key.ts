import type { LiveConfig } from '../../config/live.ts';
import type { Config } from '../../config/schema.ts';
import type { Tally } from '../../flow/tally.ts';
import type { Intake } from '../../intake/create-intake.ts';
import type { ApiKey } from '../../intake/submission.ts';
import { Refusal } from '../../message/refusal.ts';
import type { Logger } from '../../observability/log.ts';
import type { SmtpMetrics } from '../metrics.ts';
import { tooManyLogins, tooManySessions } from '../protocol/replies.ts';
import type { LoginGuard } from './login-guard.ts';

/** Who is at the other end. */
export interface Client {
  readonly id: string;
  readonly clientAddress: string;
  /** Whether that is the client's, and not that of a load balancer. */
  readonly isNamed: boolean;
  /** The id of the key as which it may send without a log-in now; null for none. */
  readonly trustedKey: () => string | null;
}

export interface SessionKeyDependencies {
  readonly live: Pick<LiveConfig, 'current'>;
  readonly intake: Pick<Intake, 'keys'>;
  readonly guard: LoginGuard;
  /** Sessions by key; shared by all listeners. */
  readonly sessions: Tally;
  readonly metrics: SmtpMetrics;
}

export type KnownKey = Pick<ApiKey, 'id' | 'sandbox'>;

/** Where it tells what it finds out. */
interface KeyLog {
  readonly logger: Logger;
  /** What is said is of this key from now on: the client sends as it, or is refused because of it. */
  knownAs(key: KnownKey): void;
}

/**
 * The API key as which a client sends: by its log-in, or without one by the network that it comes from. The session is
 * counted for it, and it is looked up anew each time that it matters.
 */
export class SessionKey {
  readonly #deps: SessionKeyDependencies;
  readonly #client: Client;
  readonly #log: KeyLog;
  #keyHash: string | null = null;
  #attempts = 0;
  /** The key that this session is counted for. */
  #countedFor: string | null = null;
  #closed = false;

  constructor(client: Client, deps: SessionKeyDependencies, log: KeyLog) {
    this.#client = client;
    this.#deps = deps;
    this.#log = log;
  }

  /** The connection has ended. */
  closed(): void {
    this.#closed = true;
    this.#stopCounting();
  }

  /** Counts a log-in, so that also those that come to nothing have an end. @throws Refusal 421 for one too many */
  attempt(): void {
    if (this.#attempts >= this.#deps.live.current.limits.failedLogins) throw tooManyLogins();
    this.#attempts += 1;
  }

  /**
   * @param password the API key
   * @param admit is asked about the key, and may refuse it
   */
  async logIn(password: string, admit: (key: ApiKey) => Promise<void>): Promise<void> {
    const hash = this.#deps.intake.keys.hash(password);
    const key = await this.#findLogin(hash);
    await admit(key);
    this.#countFor(key);
    this.#deps.metrics.logins.inc({ result: 'succeeded' });
    this.#keyHash = hash;
    this.#deps.intake.keys.markUsed(key.id);
  }

  /** The key with this hash. Who has none waits as long as failed log-ins before have earned. */
  async #findLogin(hash: string): Promise<ApiKey> {
    const { guard } = this.#deps;
    const { clientAddress } = this.#client;
    const key = await guard
      .lookUp(clientAddress, () => this.#lookUp(hash))
      .catch(cause => {
        // Our own fault costs the client no attempt: `limits.loginTimeout` ends the connection all the same.
        this.#attempts -= 1;
        throw new Refusal({ code: 454, enhancedCode: '4.7.0', text: KEYS_UNREACHABLE, rule: 'auth_fault', cause });
      });
    if (key !== null) return key;
    await guard.failed(clientAddress, hash);
    throw authenticationFailed();
  }

  async #lookUp(hash: string): Promise<ApiKey | null> {
    const key = await this.#deps.intake.keys.findByHash(hash);
    if (key === null) await this.#tellWhose(hash);
    return key;
  }

  /**
   * Who asks why the client of a blocked key is refused looks among the sessions of the key. One that has sent as another key stays that
   * one's. No log-in fails because of it.
   */
  async #tellWhose(hash: string): Promise<void> {
    if (this.#countedFor !== null) return;
    const id = await this.#deps.intake.keys.findId(hash).catch(() => null);
    if (id !== null) this.#log.knownAs({ id });
  }

  /** @throws Refusal 421 where the key has as many sessions as it may */
  #countFor(key: ApiKey): void {
    const { id, limits } = key;
    if (this.#closed || this.#countedFor === id) return;
    this.#log.knownAs(key);
    this.#stopCounting();
    const ofAll = this.#deps.live.current.limits;
    const share = keyShare(ofAll);
    const limit = (limits?.sessions ?? ofAll.sessionsPerKey) || share;
    if (!this.#deps.sessions.tryTake(id, Math.min(limit, share))) throw tooManySessions();
    this.#countedFor = id;
    this.#deps.metrics.sessions.inc();
  }

  #stopCounting(): void {
    if (this.#countedFor === null) return;
    this.#deps.sessions.giveBack(this.#countedFor);
    this.#deps.metrics.sessions.dec();
    this.#countedFor = null;
  }

  /** The same as `current`, at MAIL: a client that has not logged in is counted from its first one. */
  async atMail(): Promise<ApiKey> {
    const key = await this.current();
    if (this.#keyHash === null && this.#countedFor !== key.id) this.#beginTrusted(key);
    return key;
  }

  #beginTrusted(key: ApiKey): void {
    this.#countFor(key);
    this.#deps.metrics.logins.inc({ result: 'trusted' });
    this.#log.logger.info({ key: key.id, owner: key.userId }, 'session of a trusted network, without a login');
  }

  /** The key as it is now: a revoked one ends what an open connection may do. @throws Refusal 530 where it is none */
  async current(): Promise<ApiKey> {
    const trustedKey = this.#client.trustedKey();
    if (this.#keyHash === null && trustedKey !== null) return this.#trustedKey(trustedKey);
    const key = this.#keyHash === null ? null : await this.#deps.intake.keys.findByHash(this.#keyHash);
    if (key === null) {
      const text = 'The API key is not valid any more: log in again on a new connection';
      throw new Refusal({ code: 530, enhancedCode: '5.7.0', text, rule: 'key_revoked' });
    }
    return key;
  }

  async #trustedKey(id: string): Promise<ApiKey> {
    const key = await this.#deps.intake.keys.findById(id);
    if (key !== null) return key;
    this.#log.knownAs({ id });
    this.#log.logger.warn({ key: id }, 'the key of a trusted network does not exist or is refused');
    throw new Refusal({ code: 530, enhancedCode: '5.7.0', text: 'Authentication required', rule: 'key_revoked' });
  }
}

/** `535 5.7.8`: the key is unknown, revoked or blocked. */
export function authenticationFailed(): Refusal {
  return new Refusal({ code: 535, enhancedCode: '5.7.8', text: 'Authentication failed', rule: 'auth' });
}

const KEYS_UNREACHABLE = 'Temporary fault on our side, the key cannot be checked: try again later';

/** How many sessions the share comes to; one is always let in. */
function keyShare({ connections, keyShare }: Config['limits']): number {
  return Math.max(1, Math.floor((connections * keyShare) / 100));
}
