import { Tally } from '../flow/tally.ts';
import type { Refusal } from '../message/refusal.ts';
import { clientNetwork } from '../platform/networks.ts';
import { tooManyOfAddress, tooManyStrangers } from './protocol/refusals.ts';

/** Limits of one address. */
export interface AddressLimits {
  /** 0: none. */
  readonly connectionsPerAddress: number;
  readonly strangersPerAddress: number;
}

/** What one connection is counted as. Each method does its work once, however often it is called. */
export interface CountedConnection {
  /** The client is no stranger any more. */
  known(): void;
  /** The connection has ended. */
  ended(): void;
}

/** Counts connections by client address, on all listeners: all of them, and those that have not logged in. */
export class AddressCounts {
  readonly #all = new Tally();
  readonly #strangers = new Tally();

  /** How many addresses have connections. */
  get addresses(): number {
    return this.#all.names;
  }

  /**
   * Counts one more.
   *
   * @param isKnown it need not log in
   * @returns the connection, or why it is one too many
   */
  take(address: string, isKnown: boolean, limits: AddressLimits): CountedConnection | Refusal {
    const network = clientNetwork(address);
    if (!this.#all.tryTake(network, limits.connectionsPerAddress || Number.POSITIVE_INFINITY)) {
      return tooManyOfAddress();
    }
    if (!isKnown && !this.#strangers.tryTake(network, limits.strangersPerAddress)) {
      this.#all.giveBack(network);
      return tooManyStrangers();
    }
    let isStranger = !isKnown;
    let isOpen = true;
    const known = (): void => {
      if (isStranger) this.#strangers.giveBack(network);
      isStranger = false;
    };
    const ended = (): void => {
      known();
      if (isOpen) this.#all.giveBack(network);
      isOpen = false;
    };
    return { known, ended };
  }
}
