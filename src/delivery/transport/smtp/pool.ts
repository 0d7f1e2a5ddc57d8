import { SmtpSessionError, type SmtpSettings } from './connection.ts';
import { SmtpSession } from './session.ts';

export interface SmtpPoolOptions {
  readonly settings: SmtpSettings;
  /** The most connections at the same time. */
  readonly connections: number;
  /** Messages after which a connection is replaced: some servers close it then, in the middle of the next. */
  readonly messagesPerConnection: number;
  /** Milliseconds after which a connection without work is closed; less than what servers wait. */
  readonly idleTimeout: number;
  /** Milliseconds for which no more connections are tried when one could not be opened beside others that work. */
  readonly growthPause: number;
}

interface Waiter {
  readonly fresh: boolean;
  readonly signal: AbortSignal;
  resolve(session: SmtpSession): void;
  reject(error: unknown): void;
}

interface Idle {
  readonly session: SmtpSession;
  readonly timer: NodeJS.Timeout;
}

/** Connections to one smarthost. Who asks for one gets the one used last, or a new one, or waits in turn. */
export class SmtpPool {
  readonly #options: SmtpPoolOptions;
  readonly #idle: Idle[] = [];
  readonly #waiting: Waiter[] = [];
  readonly #quitting = new Set<Promise<void>>();
  /** Connections that are open or being opened, the idle ones among them. */
  #size = 0;
  /** Connections that are open. */
  #open = 0;
  #growAfter = 0;
  #closed = false;
  readonly #drained = Promise.withResolvers<void>();

  constructor(options: SmtpPoolOptions) {
    this.#options = options;
  }

  /**
   * @param fresh only a connection that no message was sent over yet: the idle ones may all be dead
   * @throws SmtpSessionError where none can be opened; all who wait hear of that at once
   */
  async acquire(signal: AbortSignal, fresh = false): Promise<SmtpSession> {
    const { promise, resolve, reject } = Promise.withResolvers<SmtpSession>();
    const waiter: Waiter = { fresh, signal, resolve, reject };
    const onAbort = (): void => {
      const index = this.#waiting.indexOf(waiter);
      if (index >= 0) this.#waiting.splice(index, 1);
      reject(stopping());
    };
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted || this.#closed) reject(stopping());
    else this.#waiting.push(waiter);
    this.#serve();
    return promise.finally(() => signal.removeEventListener('abort', onAbort));
  }

  /** Gives a connection back, in whatever state. */
  release(session: SmtpSession): void {
    if (session.isOpen && session.messages < this.#options.messagesPerConnection && !this.#closed) {
      this.#rest(session);
    } else {
      this.#end(session);
    }
    this.#serve();
  }

  /** Ends the idle connections, waits for those at work, and lets nobody in any more. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const waiter of this.#waiting.splice(0)) waiter.reject(stopping());
    for (const { session, timer } of this.#idle.splice(0)) {
      clearTimeout(timer);
      this.#end(session);
    }
    if (this.#size > 0) await this.#drained.promise;
    await Promise.all(this.#quitting);
  }

  #serve(): void {
    for (let waiter = this.#waiting[0]; waiter; waiter = this.#waiting[0]) {
      const session = waiter.fresh ? null : this.#takeIdle();
      if (session) {
        this.#waiting.shift();
        waiter.resolve(session);
      } else if (this.#mayGrow(waiter)) {
        this.#waiting.shift();
        void this.#openFor(waiter);
      } else {
        return;
      }
    }
  }

  #mayGrow({ fresh }: Waiter): boolean {
    if (!fresh && this.#open > 0 && performance.now() < this.#growAfter) return false;
    if (this.#size >= this.#options.connections) {
      // A fresh one is wanted, and idle ones have all the room.
      const oldest = this.#idle.shift();
      if (!oldest) return false;
      clearTimeout(oldest.timer);
      this.#end(oldest.session);
    }
    return true;
  }

  async #openFor(waiter: Waiter): Promise<void> {
    this.#size += 1;
    try {
      const session = await SmtpSession.open(this.#options.settings, waiter.signal);
      this.#open += 1;
      if (waiter.signal.aborted || this.#closed) return this.release(session);
      waiter.resolve(session);
    } catch (error) {
      this.#shrink();
      this.#failed(waiter, error);
    }
    this.#serve();
  }

  /** Beside connections that work, one more than the smarthost allows is no fault: its message waits for one of them. */
  #failed(waiter: Waiter, error: unknown): void {
    if (waiter.signal.aborted || this.#closed) {
      waiter.reject(stopping());
      return;
    }
    if (this.#open > 0 && !waiter.fresh) {
      this.#growAfter = performance.now() + this.#options.growthPause;
      this.#waiting.unshift(waiter);
      return;
    }
    waiter.reject(error);
    if (this.#open > 0) return;
    for (const other of this.#waiting.splice(0)) other.reject(error);
  }

  #takeIdle(): SmtpSession | null {
    for (let idle = this.#idle.pop(); idle; idle = this.#idle.pop()) {
      clearTimeout(idle.timer);
      if (idle.session.isOpen) return idle.session;
      this.#end(idle.session);
    }
    return null;
  }

  #rest(session: SmtpSession): void {
    const timer = setTimeout(() => {
      const index = this.#idle.findIndex(idle => idle.session === session);
      if (index >= 0) this.#idle.splice(index, 1);
      this.#end(session);
      this.#serve();
    }, this.#options.idleTimeout).unref();
    this.#idle.push({ session, timer });
  }

  #shrink(): void {
    this.#size -= 1;
    if (this.#closed && this.#size === 0) this.#drained.resolve();
  }

  #end(session: SmtpSession): void {
    this.#open -= 1;
    this.#shrink();
    const quitting = session.quit().finally(() => this.#quitting.delete(quitting));
    this.#quitting.add(quitting);
  }
}

function stopping(): SmtpSessionError {
  return new SmtpSessionError({ step: 'connect', reply: null, fault: 'ABORTED' });
}
