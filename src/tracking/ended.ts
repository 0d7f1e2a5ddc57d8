import { repeat } from '../flow/loop.ts';
import type { Logger } from '../observability/log.ts';
import type { EndedLinks } from '../store/events/ended-links.ts';
import { ownerTag, type VerifiedToken } from './token.ts';

export interface EndedOptions {
  readonly read: () => Promise<readonly EndedLinks[]>;
  readonly logger: Logger;
  /** Milliseconds between two readings. */
  readonly interval?: number;
}

/** Which links lead nowhere any more. A request asks memory alone. */
export interface Ended {
  has(token: VerifiedToken): boolean;
  start(): void;
  stop(): Promise<void>;
}

const INTERVAL = 2_000;

/** Reads them again and again. While the database is away, those known before count, and no request waits. */
export function createEnded({ read, logger, interval = INTERVAL }: EndedOptions): Ended {
  const stopped = new AbortController();
  let owners: ReadonlySet<string> = new Set();
  let messages: ReadonlySet<string> = new Set();
  let reading: Promise<void> = Promise.resolve();

  async function readAgain(): Promise<void> {
    try {
      const all = await read();
      owners = new Set(all.filter(({ kind }) => kind === 'owner').map(({ id }) => ownerTag(id)));
      messages = new Set(all.filter(({ kind }) => kind === 'message').map(({ id }) => id));
    } catch (error) {
      logger.debug({ err: error }, 'ended tracking links not read; those known before count');
    }
  }

  return {
    has: ({ ownerTag: tag, emailId }) => messages.has(emailId) || (tag !== null && owners.has(tag)),
    start() {
      reading = repeat(readAgain, { first: 0, pause: interval, signal: stopped.signal });
    },
    async stop() {
      stopped.abort();
      await reading;
    },
  };
}
