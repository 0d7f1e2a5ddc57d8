import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Pipeline } from '../../src/store/schema/pipeline.ts';
import { startRelay } from '../support/relay.ts';
import { usageOfTree } from '../support/usage.ts';
import { type Peer, smtpLoad } from './peer.ts';

export interface RelayPeerOptions {
  readonly name: string;
  readonly title: string;
  readonly pipeline: Pipeline;
  readonly tls?: boolean;
  /** Another checkout, its packages installed; this one unless given. */
  readonly folder?: string;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DRAIN_LIMIT_MS = 60_000;

/** This relay with all that belongs to it: a row, the original, the outbox and a job on SQS for each message. */
export function relayPeer({ name, title, pipeline, tls = false, folder }: RelayPeerOptions): Peer {
  // Before figures are written into this checkout.
  const version = revisionOf(folder ?? ROOT);
  return {
    name,
    title,
    async start({ system, directory }, load) {
      const stage = await system.prepare(`peers ${name}`, pipeline);
      const main = folder === undefined ? {} : { main: join(folder, 'src/main.ts') };
      const log = join(directory, name);
      const relay = await startRelay({ system, stage, pipeline, tls, directory: log, profile: false, ...main });
      const ca = tls ? { ca: system.tls.ca } : {};
      return {
        version,
        run: smtpLoad({ host: '127.0.0.1', port: relay.port, key: stage.key, ...ca }, load),
        settle: async () => {
          const deadline = performance.now() + DRAIN_LIMIT_MS;
          while ((await stage.countOutbox()) > 0 && performance.now() < deadline) await sleep(20);
        },
        usage: () => ({
          server: relay.usage(),
          postgres: usageOfTree(system.pids.postgres),
          sqs: usageOfTree(system.pids.sqs),
        }),
        check: async accepted => {
          const { rows, distinct } = await stage.countRows();
          const jobs = await stage.countJobs();
          if (rows === accepted && distinct === accepted && jobs === accepted) return [];
          return [`${accepted} messages got a 250; ${rows} rows, ${distinct} of them different; ${jobs} jobs`];
        },
        stop: async () => {
          await relay.stop();
          await stage.remove();
        },
      };
    },
  };
}

function revisionOf(folder: string): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], { cwd: folder, encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}
