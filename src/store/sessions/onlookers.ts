import { GatheredWrites } from '../../flow/gathered-writes.ts';
import { repeat } from '../../flow/loop.ts';
import { comparableAddress, parseAddress } from '../../message/addresses/address.ts';
import type { Logger } from '../../observability/log.ts';
import { createNetworkMatcher } from '../../platform/networks.ts';
import type { SessionLine } from './sessions.ts';
import type { Trace, TraceLine } from './traces.ts';

/** A session that may be looked on at. */
export interface WatchedTranscript {
  readonly id: string;
  readonly clientAddress: string;
  /** null where it has not logged in. */
  readonly keyId: string | null;
  /** Milliseconds since 1970. */
  readonly began: number;
  /** What was said since something last went well. */
  readonly lines: readonly SessionLine[];
}

export interface OnlookersOptions {
  readonly find: () => Promise<readonly Trace[]>;
  readonly write: (lines: readonly (TraceLine & { readonly traceId: string })[]) => Promise<void>;
  readonly pod: string;
  readonly logger: Logger;
}

/** Milliseconds between two looks for somebody who looks on. */
const LOOK = 2_000;
/** Milliseconds for which lines are gathered, and the most of them. */
const INTERVAL = 200;
const MOST = 1_000;
/** Traces at the same time; who comes later waits. */
const MOST_TRACES = 10;

interface Onlooker {
  readonly trace: Trace;
  readonly isClient: (address: string) => boolean;
  /** Sessions that are among those that it is about. */
  readonly found: WeakSet<WatchedTranscript>;
}

/**
 * Shows sessions as they happen to those who look on, on any machine (`smtp-relay trace`). Where nobody does, a session asks one
 * question a line. What is more than can be written in time is left out, and said to be.
 */
export class Onlookers {
  readonly #options: OnlookersOptions;
  readonly #stopped = new AbortController();
  #onlookers: readonly Onlooker[] = [];
  #pending: (TraceLine & { readonly traceId: string })[] = [];
  #leftOut = 0;
  readonly #writes = new GatheredWrites({ write: () => this.#write(), interval: INTERVAL });

  constructor(options: OnlookersOptions) {
    this.#options = options;
  }

  get isAny(): boolean {
    return this.#onlookers.length > 0;
  }

  start(): void {
    const onFault = (error: unknown) => this.#options.logger.debug({ err: error }, 'nobody knows who looks on');
    void repeat(() => this.look(), { pause: LOOK, signal: this.#stopped.signal, onFault, ref: false });
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#writes.flush();
  }

  /** Finds out who looks on. @throws the database's error */
  async look(): Promise<void> {
    const traces = (await this.#options.find()).slice(0, MOST_TRACES);
    const known = new Map(this.#onlookers.map(onlooker => [onlooker.trace.id, onlooker]));
    this.#onlookers = traces.map(trace => known.get(trace.id) ?? onlookerFor(trace));
  }

  /** A line that was just added to those of a session. */
  said(session: WatchedTranscript, line: SessionLine): void {
    for (const onlooker of this.#onlookers) {
      if (onlooker.found.has(session)) this.#add(onlooker, session, line);
      else if (isAbout(onlooker, session, line)) {
        onlooker.found.add(session);
        for (const earlier of session.lines) this.#add(onlooker, session, earlier);
      }
    }
  }

  #add(
    { trace }: Onlooker,
    { id: session, clientAddress, began }: WatchedTranscript,
    [at, by, text]: SessionLine,
  ): void {
    if (this.#pending.length >= MOST) {
      this.#leftOut += 1;
      return;
    }
    const { pod } = this.#options;
    this.#pending.push({ traceId: trace.id, at: new Date(began + at), pod, session, clientAddress, by, text });
    this.#writes.soon();
  }

  async #write(): Promise<void> {
    const [lines, leftOut] = [this.#pending, this.#leftOut];
    const last = lines.at(-1);
    this.#pending = [];
    this.#leftOut = 0;
    if (last === undefined) return;
    const told =
      leftOut === 0 ? lines : [...lines, { ...last, by: '-', text: `${leftOut} lines of this pod left out` }];
    await this.#options
      .write(told)
      .catch(error => this.#options.logger.warn({ err: error }, 'lines of a trace are lost'));
  }
}

function onlookerFor(trace: Trace): Onlooker {
  const { client } = trace;
  return { trace, isClient: client === null ? () => true : createNetworkMatcher([client]), found: new WeakSet() };
}

/** RFC 5321, section 4.1.1.3; a route before the address (appendix C) says nothing. */
const RECIPIENT = /^RCPT +TO: *<(?:@[^:>]*:)?((?:"(?:[^"\\]|\\.)*"|[^">])+)>/i;

function isAbout({ trace, isClient }: Onlooker, session: WatchedTranscript, [, by, text]: SessionLine): boolean {
  const { keyId, recipient } = trace;
  if (keyId !== null && keyId !== session.keyId) return false;
  if (!isClient(session.clientAddress)) return false;
  if (recipient === null) return true;
  const [, address] = (by === 'C' && RECIPIENT.exec(text)) || [];
  return address !== undefined && comparableAddress(parseAddress(address) ?? address) === recipient;
}
