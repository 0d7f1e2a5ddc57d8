import { LRUCache } from 'lru-cache';
import type { Intake } from '../../intake/create-intake.ts';
import type { ApiKey } from '../../intake/submission.ts';
import type { Refusal } from '../../message/refusal.ts';
import { clientNetwork } from '../../platform/networks.ts';
import type { SmtpMetrics } from '../metrics.ts';
import { KeyChaos } from './chaos.ts';

/** Addresses that are remembered, of each sort; milliseconds for which those are that others have sent from. */
const MOST = 10_000;
const DAY = 86_400_000;

/**
 * What goes wrong on purpose before it shows whose a connection is. An address gets the chaos of the key in sandbox that has logged in from
 * it, on this process; but no address from which a key that is not in sandbox has sent in the last day, and never two connections in a
 * row: another program at the same address gets in at its next try, and from then on the address is left alone.
 */
export class ConnectChaos {
  readonly #keys: Pick<Intake['keys'], 'findById'>;
  readonly #metrics: Pick<SmtpMetrics, 'chaos'>;
  readonly #sandboxed = new LRUCache<string, Sandboxed>({ max: MOST });
  readonly #shared = new LRUCache<string, true>({ max: MOST, ttl: DAY });

  constructor(keys: Pick<Intake['keys'], 'findById'>, metrics: Pick<SmtpMetrics, 'chaos'>) {
    this.#keys = keys;
    this.#metrics = metrics;
  }

  /** A client sends as this key, as it is now. */
  seen(address: string, key: ApiKey): void {
    const network = clientNetwork(address);
    if (!key.sandbox) {
      this.#shared.set(network, true);
      if (this.#sandboxed.size > 0) this.#sandboxed.delete(network);
    } else if (!hasChaos(key)) {
      if (this.#sandboxed.get(network)?.keyId === key.id) this.#sandboxed.delete(network);
    } else if (!this.#shared.has(network) && this.#sandboxed.get(network)?.keyId !== key.id) {
      this.#sandboxed.set(network, { keyId: key.id, wasRefused: false });
    }
  }

  /** What a connection of this address is refused with, where it is; null at once where nothing is known of the address. */
  refusalOf(address: string): Promise<Refusal | null> | null {
    if (this.#sandboxed.size === 0) return null;
    const network = clientNetwork(address);
    const known = this.#sandboxed.get(network);
    if (known?.wasRefused) known.wasRefused = false;
    else if (known) return this.#draw(network, known);
    return null;
  }

  async #draw(network: string, known: Sandboxed): Promise<Refusal | null> {
    const { keyId } = known;
    const key = await this.#keys.findById(keyId).catch(() => null);
    if (key === null || !hasChaos(key)) {
      this.#sandboxed.delete(network);
      return null;
    }
    const chaos = new KeyChaos(this.#metrics);
    chaos.use(key);
    const refusal = chaos.refusalOf('connect');
    known.wasRefused = refusal !== null;
    return refusal;
  }
}

/** An address, by the key that has logged in from it. */
interface Sandboxed {
  readonly keyId: string;
  /** Its last connection was, so that the next one is not. */
  wasRefused: boolean;
}

function hasChaos({ sandbox = false, chaos }: ApiKey): boolean {
  return sandbox && (chaos?.replies ?? []).some(({ stage }) => stage === 'connect');
}
