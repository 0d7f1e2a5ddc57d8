import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { Refusal } from '../message/refusal.ts';
import type { Logger } from '../observability/log.ts';
import { loginDelay } from '../policy/login-delay.ts';
import type { FailedLogins } from '../store/failed-logins.ts';
import { clientNetwork } from './client-network.ts';
import type { SmtpMetrics } from './metrics.ts';
import { Tally } from './tally.ts';

export interface LoginLimits {
  /** Failures that have no consequence; 0: none ever has. */
  readonly failedLoginsPerAddress: number;
  readonly failedLoginsPerKey: number;
  /** The longest wait in milliseconds. */
  readonly loginDelay: number;
}

export interface LoginGuardDependencies {
  readonly failedLogins: Pick<FailedLogins, 'countOf' | 'add'>;
  readonly limits: () => LoginLimits;
  readonly metrics: Pick<SmtpMetrics, 'loginDelays'>;
  readonly logger: Logger;
}

/** Log-ins of one address that may wait at the same time on this pod; its others are told to come back. */
const WAITING = 10;
const GOOD_TTL = 3_600_000;
const MAX_GOOD = 50_000;
/** Of the key's hash: too little to guess the key by, enough to tell keys apart. */
const KEY_DIGITS = 8;

/**
 * Slows down who tries keys, without locking anybody out. After many failures of an address or of a wrong key, on any pod,
 * its next log-ins wait before they are looked at, longer with each failure. Behind a shared address a key that logged in
 * from there before does not wait, and a new one only waits.
 */
export class LoginGuard {
  readonly #deps: LoginGuardDependencies;
  readonly #waiting = new Tally();
  readonly #good = new LRUCache<string, true>({ max: MAX_GOOD, ttl: GOOD_TTL });

  constructor(deps: LoginGuardDependencies) {
    this.#deps = deps;
  }

  /**
   * Waits as long as this log-in has to.
   *
   * @param keyHash `hashKey` of what was given as the key
   * @throws Refusal 454 where too many of that address wait already
   */
  async admit(address: string, keyHash: string): Promise<void> {
    const wait = this.#good.has(goodName(address, keyHash)) ? 0 : await this.#waitOf(address, keyHash);
    if (wait === 0) return;
    const network = clientNetwork(address);
    if (!this.#waiting.tryTake(network, WAITING)) throw tooManyFailures(wait);
    this.#deps.metrics.loginDelays.observe(wait / 1000);
    await delay(wait);
    this.#waiting.giveBack(network);
  }

  /** The key was right. */
  succeeded(address: string, keyHash: string): void {
    this.#good.set(goodName(address, keyHash), true);
  }

  /** It was not. Resolves when all pods can know. */
  async failed(address: string, keyHash: string): Promise<void> {
    this.#good.delete(goodName(address, keyHash));
    if (!this.#isOn) return;
    await this.#deps.failedLogins.add(subjectsOf(address, keyHash)).catch(error => {
      this.#deps.logger.warn({ err: error }, 'failed log-in not counted');
    });
  }

  get #isOn(): boolean {
    const { failedLoginsPerAddress, failedLoginsPerKey } = this.#deps.limits();
    return failedLoginsPerAddress > 0 || failedLoginsPerKey > 0;
  }

  async #waitOf(address: string, keyHash: string): Promise<number> {
    if (!this.#isOn) return 0;
    const { failedLoginsPerAddress, failedLoginsPerKey, loginDelay: longest } = this.#deps.limits();
    const [ofAddress = 0, ofKey = 0] = await this.#countOf(subjectsOf(address, keyHash));
    return Math.max(
      loginDelay(ofAddress, failedLoginsPerAddress, longest),
      loginDelay(ofKey, failedLoginsPerKey, longest),
    );
  }

  /** Without the database no key can be looked up either, which says all that is to be said. */
  #countOf(subjects: readonly string[]): Promise<readonly number[]> {
    return this.#deps.failedLogins.countOf(subjects).catch(() => []);
  }
}

function goodName(address: string, keyHash: string): string {
  return `${clientNetwork(address)} ${keyHash}`;
}

function subjectsOf(address: string, keyHash: string): string[] {
  return [`address ${clientNetwork(address)}`, `key ${keyHash.slice(0, KEY_DIGITS)}`];
}

function tooManyFailures(wait: number): Refusal {
  const text = `Too many failed logins from your address: try again in ${Math.ceil(wait / 1000)} s`;
  return new Refusal({ code: 454, enhancedCode: '4.7.0', text, rule: 'failed_logins' });
}
