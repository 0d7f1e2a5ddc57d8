import { spawn } from 'node:child_process';
import { env } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

const { KUBECTL = 'kubectl' } = env;

export interface ReplicasWatch {
  /** The smallest number that the Deployment asked for since this was asked last, the present one included. */
  leastSinceLast(): Promise<number>;
  stop(): void;
}

/** Watches the number of pods that a Deployment asks for, from its first moment: each change is seen, however short. */
export function watchReplicas(namespace: string, name: string): ReplicasWatch {
  const columns = 'custom-columns=NAME:.metadata.name,REPLICAS:.spec.replicas';
  const watch = ['-n', namespace, 'get', 'deployments', '--watch', '--no-headers', '-o', columns];
  const child = spawn(KUBECTL, watch, { stdio: ['ignore', 'pipe', 'ignore'] });
  let seen: number[] = [];
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = `${rest}${text}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const [which, count] = line.trim().split(/\s+/);
      if (which === name) seen.push(Number(count));
    }
  });
  return {
    async leastSinceLast() {
      // What was just written is on its way.
      await sleep(500);
      const least = Math.min(...seen);
      seen = seen.slice(-1);
      return least;
    },
    stop: () => void child.kill(),
  };
}
