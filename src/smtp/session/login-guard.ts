import { setTimeout as delay } from 'node:timers/promises';
import { Tally } from '../../flow/tally.ts';
import { Turnstile } from '../../flow/turnstile.ts';
import type { Intake } from '../../intake/create-intake.ts';
import { Refusal } from '../../message/refusal.ts';
import type { Logger } from '../../observability/log.ts';
import { clientNetwork } from '../../platform/networks.ts';
import type { SmtpMetrics } from '../metrics.ts';

export interface LoginLimits {
  /** Failures that have no consequence; 0: none ever has. */
  readonly failedLoginsPerAddress: number;
  readonly failedLoginsPerKey: number;
  /** The longest wait in milliseconds. */
  readonly loginDelay: number;
}

export interface LoginGuardDependencies {
  readonly failedLogins: Intake['failedLogins'];
  readonly limits: () => LoginLimits;
  readonly metrics: Pick<SmtpMetrics, 'loginDelays'>;
  readonly logger: Logger;
}

/** Log-ins of one address that may wait at the same time on this pod; its others are told to come back. */
const WAITING = 10;
/** Look-ups of keys at the same time, of all addresses that keep failing: what they cost the database has a bound. */
const LOOK_UPS = 2;
/** Of the key's hash: too little to guess the key by, enough to tell keys apart. */
const KEY_DIGITS = 8;

/**
 * Slows down who tries keys, without locking anybody out. A key is looked up before anything waits, so that a good one gets
 * in at once, whoever guesses behind the same address. After many failures of an address or of a wrong key, on any pod, the
 * next wrong keys wait for their answer, longer with each failure.
 */
export class LoginGuard {
  readonly #deps: LoginGuardDependencies;
  readonly #waiting = new Tally();
  readonly #lookUps = new Turnstile(LOOK_UPS);

  constructor(deps: LoginGuardDependencies) {
    this.#deps = deps;
  }

  /** Looks a key up; for an address that keeps failing, when it is its turn. @throws what `find` throws */
  async lookUp<T>(address: string, find: () => Promise<T>): Promise<T> {
    const isFailing = (await this.#waitOf([addressSubject(address)])) > 0;
    return isFailing ? this.#lookUps.pass(find) : find();
  }

  /**
   * The key was wrong. Waits as long as its answer has to, and resolves when all pods can know.
   *
   * @param keyHash `Keys.hash` of what was given as the key
   * @throws Refusal 454 where too many of that address wait already
   */
  async failed(address: string, keyHash: string): Promise<void> {
    if (!this.#isOn) return;
    const subjects = [addressSubject(address), `key ${keyHash.slice(0, KEY_DIGITS)}`];
    await this.#wait(address, await this.#waitOf(subjects));
    await this.#deps.failedLogins.add(subjects).catch(error => {
      this.#deps.logger.warn({ err: error }, 'failed log-in not counted');
    });
  }

  async #wait(address: string, wait: number): Promise<void> {
    if (wait === 0) return;
    const network = clientNetwork(address);
    if (!this.#waiting.tryTake(network, WAITING)) throw tooManyFailures(wait);
    this.#deps.metrics.loginDelays.observe(wait / 1000);
    await delay(wait);
    this.#waiting.giveBack(network);
  }

  get #isOn(): boolean {
    const { failedLoginsPerAddress, failedLoginsPerKey } = this.#deps.limits();
    return failedLoginsPerAddress > 0 || failedLoginsPerKey > 0;
  }

  /** @param subjects the address; and the key, where it counts too */
  async #waitOf(subjects: readonly string[]): Promise<number> {
    if (!this.#isOn) return 0;
    const { failedLoginsPerAddress, failedLoginsPerKey, loginDelay: longest } = this.#deps.limits();
    const [ofAddress = 0, ofKey = 0] = await this.#countOf(subjects);
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

function addressSubject(address: string): string {
  return `address ${clientNetwork(address)}`;
}

function tooManyFailures(wait: number): Refusal {
  const text = `Too many failed logins from your address: try again in ${Math.ceil(wait / 1000)} s`;
  return new Refusal({ code: 454, enhancedCode: '4.7.0', text, rule: 'failed_logins' });
}

const FIRST = 1_000;

/**
 * How long a log-in has to wait after failed ones: nothing at first, then 1 s, and twice as long with each further failure.
 *
 * @param failures so far
 * @param allowed as many have no consequence; 0: none ever has
 * @param longest in milliseconds
 * @returns milliseconds
 */
export function loginDelay(failures: number, allowed: number, longest: number): number {
  if (allowed === 0 || failures < allowed) return 0;
  return Math.min(longest, FIRST * 2 ** (failures - allowed));
}
