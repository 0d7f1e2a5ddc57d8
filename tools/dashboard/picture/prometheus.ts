import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { freePort } from '../../../dev/ports.ts';

export type Labels = Readonly<Record<string, string>>;

export interface Target {
  readonly port: number;
  /** What Prometheus adds to every series of this target. */
  readonly labels: Labels;
}

/** Seconds. */
export interface Range {
  readonly from: number;
  readonly to: number;
  readonly step: number;
}

export interface Series {
  readonly metric: Labels;
  /** Seconds since 1970, and the value: a number, `NaN`, `+Inf` or `-Inf`. */
  readonly values: readonly (readonly [number, string])[];
}

/** Seconds between scrapes. */
export const SCRAPE_INTERVAL = 5;
const START_LIMIT = 30_000;

/** A Prometheus on loopback, with its data in a folder. */
export class Prometheus {
  readonly #child: ChildProcess;
  readonly #url: string;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.#url = url;
  }

  /** @param targets what to scrape; none, to look only at what the folder has */
  static async start(directory: string, targets: readonly Target[] = []): Promise<Prometheus> {
    await mkdir(directory, { recursive: true });
    const address = `127.0.0.1:${await freePort()}`;
    const config = join(directory, 'prometheus.yaml');
    await writeFile(config, configFor(targets));
    const log = openSync(join(directory, 'prometheus.log'), 'a');
    const flags = [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      `--web.listen-address=${address}`,
    ];
    const child = spawn('prometheus', flags, { stdio: ['ignore', log, log] });
    await once(child, 'spawn');
    const prometheus = new Prometheus(child, `http://${address}`);
    await prometheus.#ready();
    return prometheus;
  }

  /** The series of an expression over a range. */
  async range(query: string, { from, to, step }: Range): Promise<readonly Series[]> {
    const { result } = await this.#ask<{ result: Series[] }>('query_range', { query, start: from, end: to, step });
    return result;
  }

  /** The series of an expression at one time, each with one value. */
  async instant(query: string, time: number): Promise<readonly Series[]> {
    const { result } = await this.#ask<{ result: { metric: Labels; value: [number, string] }[] }>('query', {
      query,
      time,
    });
    return result.map(({ metric, value }) => ({ metric, values: [value] }));
  }

  /** What a label of a metric has as values. */
  labelValues(metric: string, label: string, { from, to }: Range): Promise<readonly string[]> {
    return this.#ask(`label/${label}/values`, { 'match[]': metric, start: from, end: to });
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }

  async #ask<T>(path: string, parameters: Record<string, string | number>): Promise<T> {
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters)) search.set(name, String(value));
    const response = await fetch(`${this.#url}/api/v1/${path}?${search}`);
    const body = (await response.json()) as { data: T; error?: string };
    if (!response.ok) throw new Error(`Prometheus: ${body.error}: ${JSON.stringify(parameters)}`);
    return body.data;
  }

  async #ready(): Promise<void> {
    const deadline = performance.now() + START_LIMIT;
    for (;;) {
      const answer = await fetch(`${this.#url}/-/ready`).catch(() => null);
      if (answer?.ok) return;
      if (this.#child.exitCode !== null || performance.now() > deadline) {
        await this.stop();
        throw new Error('Prometheus did not start');
      }
      await sleep(100);
    }
  }
}

function configFor(targets: readonly Target[]): string {
  const static_configs = targets.map(({ port, labels }) => ({ targets: [`127.0.0.1:${port}`], labels }));
  return stringify({
    global: { scrape_interval: `${SCRAPE_INTERVAL}s` },
    scrape_configs: [{ job_name: 'smtp-relay', static_configs }],
  });
}
