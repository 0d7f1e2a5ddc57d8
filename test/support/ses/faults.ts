/** Something that goes wrong on purpose. */
export interface Fault {
  /**
   * `error`: the answer is this status and error. `throttle`: the same, with SES's own error for too many. `timeout`: the
   * request is read and never answered. `drop`: the connection is cut when the head of the request has come. `drop-after`:
   * the message is taken as received, and then the connection is cut. `delay`: all goes well, `delayMs` later.
   */
  readonly kind: 'error' | 'throttle' | 'timeout' | 'drop' | 'drop-after' | 'delay';
  /** For so many requests; without it and `forMs`, for one. */
  readonly times?: number;
  /** For so many milliseconds from now. */
  readonly forMs?: number;
  /** Which operation it is for; `SendEmail` unless given. */
  readonly operation?: string;
  /** Of `error`: HTTP status, `x-amzn-errortype` and message. An empty name gives an answer that is none of SES's. */
  readonly status?: number;
  readonly name?: string;
  readonly message?: string;
  readonly delayMs?: number;
  /** The request is read at once, and goes on only when this is fulfilled. */
  readonly until?: Promise<unknown>;
}

interface Planned {
  readonly fault: Fault;
  left: number;
  readonly until: number;
}

/** The faults to come, first planned first. */
export class Faults {
  readonly #planned: Planned[] = [];

  plan(fault: Fault): void {
    const until = fault.forMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + fault.forMs;
    const times = fault.times ?? (fault.forMs === undefined ? 1 : Number.POSITIVE_INFINITY);
    this.#planned.push({ fault, left: times, until });
  }

  /** Takes the fault for the next request of that operation, if one is planned. */
  next(operation: string): Fault | null {
    if (this.#planned.length === 0) return null;
    const now = performance.now();
    for (const [index, planned] of this.#planned.entries()) {
      if ((planned.fault.operation ?? 'SendEmail') !== operation || now >= planned.until) continue;
      planned.left -= 1;
      if (planned.left <= 0) this.#planned.splice(index, 1);
      return planned.fault;
    }
    return null;
  }

  clear(): void {
    this.#planned.length = 0;
  }
}
