/** Replaces the relays of a deployment again and again under load, and counts what clients and database see of it. */
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Stage, type System, startSystem } from '../../bench/support/system.ts';
import { Mailers, type MailersResult } from '../support/mailers.ts';
import { type Pod, startPod } from './pod.ts';
import { type Service, startService } from './service.ts';

const HELP = `Usage: node bin/node24.js test/soak/rolling.ts [options]

  --restarts <n>     how often all pods are replaced (50)
  --pods <n>         how many there are (2)
  --pools <n>        Nodemailer pools that send all the time (4), with
  --connections <n>  connections each (3)
  --drain-delay <t>  SMTP_RELAY_DRAIN_DELAY of the pods (1s)
  --directory <path> for the relays' logs
`;

function readOptions() {
  const { values } = parseArgs({
    options: {
      restarts: { type: 'string', default: '50' },
      pods: { type: 'string', default: '2' },
      pools: { type: 'string', default: '4' },
      connections: { type: 'string', default: '3' },
      'drain-delay': { type: 'string', default: '1s' },
      directory: { type: 'string', default: join(tmpdir(), `smtp-relay-bench-${process.pid}`) },
      help: { type: 'boolean', default: false },
    },
  });
  const count = (name: 'restarts' | 'pods' | 'pools' | 'connections'): number => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} is a whole number above 0`);
    return value;
  };
  return {
    help: values.help,
    directory: values.directory,
    drainDelay: values['drain-delay'],
    restarts: count('restarts'),
    pods: count('pods'),
    pools: count('pools'),
    connections: count('connections'),
  };
}

type Options = ReturnType<typeof readOptions>;

interface Stopped {
  readonly code: number | null;
  readonly milliseconds: number;
}

/** The pods of one deployment. */
class Deployment {
  /** How each pod ended. */
  readonly stops: Stopped[] = [];
  readonly #service: Service;
  readonly #start: () => Promise<Pod>;
  readonly #pods = new Set<Pod>();

  constructor(service: Service, start: () => Promise<Pod>) {
    this.#service = service;
    this.#start = start;
  }

  async add(): Promise<void> {
    const pod = await this.#start();
    this.#pods.add(pod);
    this.#service.add(pod);
  }

  /** As Kubernetes does it: a new pod is ready before an old one is told to end. */
  async replaceAll(): Promise<void> {
    for (const pod of [...this.#pods]) {
      await this.add();
      await this.#retire(pod);
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#pods].map(pod => this.#retire(pod)));
  }

  async #retire(pod: Pod): Promise<void> {
    this.#pods.delete(pod);
    this.stops.push(await pod.stop());
    this.#service.remove(pod);
  }
}

interface Found {
  readonly rows: number;
  readonly distinct: number;
  readonly outbox: number;
  readonly jobs: number;
}

async function lookInto(stage: Stage): Promise<Found> {
  const { rows, distinct } = await stage.countRows();
  return { rows, distinct, outbox: await stage.countOutbox(), jobs: await stage.countJobs() };
}

function report(
  options: Options,
  seconds: number,
  sent: MailersResult,
  found: Found,
  stops: readonly Stopped[],
): string {
  const { accepted, errors, times } = sent;
  const at = (share: number): string => (times[Math.floor((times.length - 1) * share)] ?? 0).toFixed(0);
  const failed = [...errors.values()].reduce((sum, count) => sum + count, 0);
  const slowest = Math.max(...stops.map(({ milliseconds }) => milliseconds)) / 1_000;
  const columns = {
    restarts: options.restarts,
    'pods replaced': stops.length - options.pods,
    accepted,
    'messages/s': (accepted / seconds).toFixed(0),
    'client errors': failed,
    lost: Math.max(0, accepted - found.distinct),
    doubled: found.rows - found.distinct + Math.max(0, found.distinct - accepted - failed),
    'not published': found.outbox,
    jobs: found.jobs,
    'p50 ms': at(0.5),
    'p99 ms': at(0.99),
    'max ms': at(1),
    'slowest stop s': slowest.toFixed(1),
    'exit not 0': stops.filter(({ code }) => code !== 0).length,
  };
  const row = (cells: readonly unknown[]): string => `| ${cells.join(' | ')} |`;
  const lines = [row(Object.keys(columns)), row(Object.keys(columns).map(() => '---:')), row(Object.values(columns))];
  for (const [message, count] of errors) lines.push(`${count} times: ${message}`);
  return lines.join('\n');
}

async function run(options: Options, system: System): Promise<number> {
  const stage = await system.prepare('rolling', 'standalone');
  const service = await startService();
  let interrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => (interrupted = true));
  const logFile = join(options.directory, 'relays.log');
  const start = () => startPod({ system, stage, drainDelay: options.drainDelay, logFile });
  const deployment = new Deployment(service, start);
  let mailers: Mailers | undefined;
  try {
    for (let pod = 0; pod < options.pods; pod++) await deployment.add();
    const { ca } = system.tls;
    const began = performance.now();
    mailers = new Mailers({ ...options, port: service.port, ca, key: stage.key });
    while (mailers.accepted < 100) await sleep(50);
    for (let restart = 1; restart <= options.restarts && !interrupted; restart++) {
      await deployment.replaceAll();
      process.stderr.write(`\r${restart} of ${options.restarts} restarts`);
    }
    process.stderr.write('\n');
    const sent = await mailers.stop();
    const seconds = (performance.now() - began) / 1_000;
    await deployment.stop();
    const found = await lookInto(stage);
    process.stdout.write(`${report(options, seconds, sent, found, deployment.stops)}\n`);
    const isWell = sent.errors.size === 0 && found.rows === sent.accepted && found.distinct === found.rows;
    const isPublished = found.outbox === 0 && found.jobs === found.rows;
    return isWell && isPublished && deployment.stops.every(({ code }) => code === 0) ? 0 : 1;
  } finally {
    await deployment.stop();
    await service.close();
    // Where something failed, they still send, and hear at once now that nobody listens.
    await mailers?.stop();
    await stage.remove();
  }
}

async function main(): Promise<number> {
  const options = readOptions();
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  await mkdir(options.directory, { recursive: true });
  const system = await startSystem();
  return run(options, system).finally(() => system.stop());
}

process.exitCode = await main().catch((error: Error) => {
  process.stderr.write(`${error.stack}\n`);
  return 1;
});
