import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { eventually } from '../../support/eventually.ts';
import { get, helm, type KubernetesList, type KubernetesObject, kubectl } from './commands.ts';
import { IMAGE_VALUES } from './images.ts';

export const CHART = fileURLToPath(new URL('../../../charts/opensend-smtp-relay', import.meta.url));
const ROLL_LIMIT = 240_000;

export type Values = Readonly<Record<string, unknown>>;
export type Component = 'relay' | 'worker';

/** The chart, installed. */
export class Release {
  readonly #name: string;
  readonly #namespace: string;

  constructor(name: string, namespace: string) {
    this.#name = name;
    this.#namespace = namespace;
  }

  /** Of the relay's Deployment, of the worker's, and so on; without a suffix, of the Service. */
  objectName(suffix = ''): string {
    return `${this.#name}-opensend-smtp-relay${suffix === '' ? '' : `-${suffix}`}`;
  }

  /** Installs or upgrades, and waits until the pods are ready and those before them are gone. @returns milliseconds */
  async apply(values: Values, ...flags: string[]): Promise<number> {
    const began = performance.now();
    await this.#helm(values, 'upgrade', '--install', this.#name, CHART, '--wait', '--timeout', '5m', ...flags);
    await this.settled();
    return performance.now() - began;
  }

  /** Of the release that is installed. */
  async revision(): Promise<number> {
    const history = await helm(['-n', this.#namespace, 'history', this.#name, '--max', '1', '-o', 'json']);
    return JSON.parse(history)[0].revision;
  }

  async rollback(revision: number): Promise<void> {
    await helm(['-n', this.#namespace, 'rollback', this.#name, String(revision), '--wait', '--timeout', '5m']);
    await this.settled();
  }

  /** @returns the logs of `helm test` */
  test(): Promise<string> {
    return helm(['-n', this.#namespace, 'test', this.#name, '--logs', '--timeout', '4m']);
  }

  async uninstall(): Promise<void> {
    await helm(['-n', this.#namespace, 'uninstall', this.#name, '--wait', '--timeout', '3m']);
  }

  /** Those that run, oldest first; what is stopping is left out. */
  async pods(component: Component): Promise<KubernetesObject[]> {
    return (await this.#allPods(component)).filter(({ metadata }) => !metadata.deletionTimestamp);
  }

  async podNames(component: Component): Promise<string[]> {
    return (await this.pods(component)).map(({ metadata }) => metadata.name);
  }

  /** Waits until each Deployment has the pods it wants, all ready, and no other. */
  async settled(): Promise<void> {
    for (const component of ['relay', 'worker'] as const) {
      const name = this.objectName(component);
      const found = await kubectl([
        '-n',
        this.#namespace,
        'get',
        'deployment',
        name,
        '--ignore-not-found',
        '-o',
        'name',
      ]);
      if (found === '') continue;
      await kubectl([
        '-n',
        this.#namespace,
        'rollout',
        'status',
        `deployment/${name}`,
        `--timeout=${ROLL_LIMIT / 1000}s`,
      ]);
      await eventually(async () => {
        const { spec } = await get([`deployment/${name}`, '-n', this.#namespace]);
        return (await this.#allPods(component)).length === spec.replicas;
      }, ROLL_LIMIT);
    }
  }

  /** Waits until there are so many ready pods of it, and no other. */
  async scaledTo(component: Component, count: number, milliseconds = ROLL_LIMIT): Promise<void> {
    await eventually(async () => {
      const pods = await this.#allPods(component);
      const ready = pods.filter(pod => isReady(pod));
      if (pods.length !== count || ready.length !== count) await sleep(500);
      return pods.length === count && ready.length === count;
    }, milliseconds);
  }

  /** Runs `smtp-relay` in a pod of the relay. */
  cli(...args: string[]): Promise<string> {
    return kubectl([
      '-n',
      this.#namespace,
      'exec',
      `deployment/${this.objectName('relay')}`,
      '--',
      'smtp-relay',
      ...args,
    ]);
  }

  /** A metric of one pod, by the text before its value; NaN where it is not there. */
  async metric(pod: string, sample: string): Promise<number> {
    const path = `/api/v1/namespaces/${this.#namespace}/pods/${pod}:8080/proxy/metrics`;
    const line = (await kubectl(['get', '--raw', path])).split('\n').find(text => text.startsWith(`${sample} `));
    return line === undefined ? Number.NaN : Number(line.slice(sample.length + 1));
  }

  logs(pod: string): Promise<string> {
    return kubectl(['-n', this.#namespace, 'logs', pod]);
  }

  /** Where clients outside the cluster connect to. */
  async address(): Promise<string> {
    return eventually(async () => {
      const { status } = await get([`service/${this.objectName()}`, '-n', this.#namespace]);
      const [ingress] = status.loadBalancer.ingress ?? [];
      return (ingress?.ip ?? ingress?.hostname) as string | undefined;
    }, 120_000) as Promise<string>;
  }

  async #allPods(component: Component): Promise<KubernetesObject[]> {
    const labels = `app.kubernetes.io/instance=${this.#name},app.kubernetes.io/component=${component}`;
    const { items } = await get<KubernetesList>([
      'pods',
      '-n',
      this.#namespace,
      '-l',
      labels,
      '--sort-by=.metadata.creationTimestamp',
    ]);
    return [...items];
  }

  #helm(values: Values, ...args: string[]): Promise<string> {
    const input = JSON.stringify({ ...IMAGE_VALUES, ...values });
    return helm(['-n', this.#namespace, ...args, '--values', '-'], { input, timeout: 400_000 });
  }
}

function isReady({ status }: KubernetesObject): boolean {
  return (status.conditions ?? []).some(
    (one: { type: string; status: string }) => one.type === 'Ready' && one.status === 'True',
  );
}
