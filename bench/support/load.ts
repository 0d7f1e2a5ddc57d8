import { Connection, type Target } from './connection.ts';
import { buildMessage, type MessageShape } from './message.ts';
import { type Attempt, Sender } from './sender.ts';

export interface Load {
  /** Told apart from other loads on the same relay by this. */
  readonly name: string;
  readonly target: Target;
  readonly connections: number;
  readonly message: MessageShape;
  /** Messages a second over all connections; as many as the relay takes unless given. */
  readonly rate?: number;
  readonly pipelining: boolean;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

/** Milliseconds below which so many of a hundred are; NaN where there is none. */
export interface Latency {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

/** Times are milliseconds, from MAIL FROM to the 250 that follows the message. */
export interface LoadResult {
  /** Accepted with 250 from first to last, the warm-up included: as many rows there must be. */
  readonly accepted: number;
  /** Accepted within the measured time. */
  readonly measured: number;
  readonly seconds: number;
  readonly messageBytes: number;
  readonly latency: Latency;
  /** Replies that were not the expected ones, and lost connections, counted by their text. */
  readonly refusals: Readonly<Record<string, number>>;
  /** What generating the load took, in the measured time. */
  readonly generatorCpuSeconds: number;
}

/**
 * Puts a load on a relay. Messages begun before the end are finished. Latencies are those of the messages begun within
 * the measured time.
 *
 * @param onMeasuring called when the warm-up is over
 */
export async function runLoad(load: Load, onMeasuring: () => void): Promise<LoadResult> {
  const connections = await Promise.all(Array.from({ length: load.connections }, () => Connection.open(load.target)));
  const run = new LoadRun(load, connections);
  run.start();
  await run.wait(load.warmUpSeconds);
  onMeasuring();
  const cpuBefore = process.cpuUsage();
  run.beginMeasuring();
  await run.wait(load.seconds);
  const cpu = process.cpuUsage(cpuBefore);
  const seconds = run.endMeasuring();
  await run.finished;
  for (const connection of connections) connection.close();
  return run.result(seconds, (cpu.user + cpu.system) / 1e6);
}

export function latencyOf(milliseconds: readonly number[]): Latency {
  const sorted = Float64Array.from(milliseconds).sort();
  const at = (share: number) => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}

class LoadRun {
  readonly finished: Promise<void>;
  readonly #load: Load;
  readonly #senders: Sender[];
  readonly #idle: Sender[] = [];
  readonly #late: number[] = [];
  readonly #latencies: number[] = [];
  readonly #refusals = new Map<string, number>();
  readonly #messageBytes: number;
  #finish: () => void = () => {};
  #underWay = 0;
  #accepted = 0;
  #measured = 0;
  #from = Number.POSITIVE_INFINITY;
  #until = Number.POSITIVE_INFINITY;

  constructor(load: Load, connections: readonly Connection[]) {
    this.#load = load;
    this.finished = new Promise(resolve => {
      this.#finish = resolve;
    });
    const messages = connections.map((_, index) => buildMessage(load.message, `${load.name}-${index}`));
    this.#messageBytes = messages[0]?.size ?? 0;
    this.#senders = connections.map((connection, index) => {
      const message = messages[index] as (typeof messages)[number];
      const sender = new Sender(connection, message, load.pipelining, attempt => this.#done(attempt, sender));
      connection.onLost = reason => this.#lost(`connection lost: ${reason}`, sender);
      return sender;
    });
  }

  start(): void {
    if (this.#load.rate === undefined) {
      for (const sender of this.#senders) this.#send(sender);
    } else {
      this.#idle.push(...this.#senders);
      this.#tick(performance.now(), 1000 / this.#load.rate);
    }
  }

  wait(seconds: number): Promise<void> {
    return new Promise(resolve => setTimeout(resolve, seconds * 1000));
  }

  beginMeasuring(): void {
    this.#from = performance.now();
  }

  /** @returns the seconds measured */
  endMeasuring(): number {
    this.#until = performance.now();
    if (this.#underWay === 0) this.#finish();
    return (this.#until - this.#from) / 1000;
  }

  result(seconds: number, generatorCpuSeconds: number): LoadResult {
    return {
      accepted: this.#accepted,
      measured: this.#measured,
      seconds,
      messageBytes: this.#messageBytes,
      latency: latencyOf(this.#latencies),
      refusals: Object.fromEntries(this.#refusals),
      generatorCpuSeconds,
    };
  }

  #send(sender: Sender, dueAt?: number): void {
    this.#underWay++;
    sender.send(dueAt);
  }

  /** Messages are due at fixed times, whatever the relay does: one that finds no free connection waits, and its wait counts. */
  #tick(dueAt: number, interval: number): void {
    if (this.#until !== Number.POSITIVE_INFINITY) return;
    const now = performance.now();
    let due = dueAt;
    for (; due <= now; due += interval) {
      const sender = this.#idle.pop();
      if (sender) this.#send(sender);
      else this.#late.push(due);
    }
    setTimeout(() => this.#tick(due, interval), due - now);
  }

  #done(attempt: Attempt, sender: Sender): void {
    this.#underWay--;
    this.#record(attempt);
    if (this.#until !== Number.POSITIVE_INFINITY) {
      if (this.#underWay === 0) this.#finish();
    } else if (this.#load.rate === undefined) {
      this.#send(sender);
    } else {
      const due = this.#late.shift();
      if (due === undefined) this.#idle.push(sender);
      else this.#send(sender, due);
    }
  }

  #record({ startedAt, endedAt, refusal }: Attempt): void {
    if (refusal !== undefined) {
      this.#refused(refusal);
      return;
    }
    this.#accepted++;
    if (endedAt >= this.#from && endedAt < this.#until) this.#measured++;
    if (startedAt >= this.#from && startedAt < this.#until) this.#latencies.push(endedAt - startedAt);
  }

  #lost(reason: string, sender: Sender): void {
    this.#refused(reason);
    const idle = this.#idle.indexOf(sender);
    if (idle === -1) this.#underWay--;
    else this.#idle.splice(idle, 1);
    if (this.#until !== Number.POSITIVE_INFINITY && this.#underWay === 0) this.#finish();
  }

  #refused(text: string): void {
    this.#refusals.set(text, (this.#refusals.get(text) ?? 0) + 1);
  }
}
