import { SESv2Client, SendEmailCommand } from '@aws-sdk/client-sesv2';
import {
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  type Message,
  ReceiveMessageCommand,
} from '@aws-sdk/client-sqs';
import { sqsClient } from '../../../dev/sqs.ts';
import type { Queryable } from '../../../src/postgres/pool.ts';
import { CREDENTIALS } from '../ses/sigv4.ts';
import { requestOf } from './request.ts';
import { claim, findDomain, findDue, markFailedAttempt, markSent, type QueuedRow } from './row.ts';
import { simulate, simulatedOutcome } from './simulated.ts';

export interface OpenSendWorkerOptions {
  readonly db: Queryable;
  /** Where SES listens. */
  readonly ses: { readonly endpoint: string };
  /** Jobs come from there; without it from `emails`, as where an installation has no queue (contract, "The send job"). */
  readonly queue?: { readonly url: string; readonly endpoint: string };
  /** How many tries a message has; 3 unless given (contract: "three tries"). */
  readonly tries?: number;
  /** Milliseconds after the failure of that try, from 1, until the next one; as OpenSend waits unless given. */
  readonly wait?: (attempt: number) => number;
}

export interface Delivery {
  readonly emailId: string;
  /** `skipped`: it is not there, not queued, or not due. `delayed`: another try follows. */
  readonly outcome: 'sent' | 'simulated' | 'skipped' | 'delayed' | 'failed';
  /** Of a try that failed. */
  readonly error?: Error;
}

const TRIES = 3;
const VISIBILITY_MS = 60_000;
const BATCH = 10;

/**
 * A stand-in for OpenSend's worker, written from the pipeline contract: it takes jobs from the queue or polls the table,
 * claims, and asks SES for what the contract says of a row. It neither tracks nor sends webhooks. What it makes of some
 * fifty rows was compared with what OpenSend's own worker (5b944e3) made of them: requests, statuses, events, suppressions.
 */
export class OpenSendWorker {
  readonly #options: OpenSendWorkerOptions;
  readonly #clients = new Map<string, SESv2Client>();

  constructor(options: OpenSendWorkerOptions) {
    this.#options = options;
  }

  /** One look at the table: what is due is tried once. @returns one entry a row */
  async poll(): Promise<Delivery[]> {
    const deliveries: Delivery[] = [];
    for (const emailId of await findDue(this.#options.db, BATCH)) deliveries.push(await this.deliver(emailId));
    return deliveries;
  }

  /** One request to the queue: its jobs are tried once. Those that may be tried again become visible after their wait. */
  async receive(): Promise<Delivery[]> {
    const { queue } = this.#options;
    if (!queue) throw new Error('this worker has no queue; use poll()');
    const client = sqsClient(queue.endpoint);
    const address = { QueueUrl: queue.url };
    const { Messages = [] } = await client.send(
      new ReceiveMessageCommand({
        ...address,
        MaxNumberOfMessages: BATCH,
        VisibilityTimeout: VISIBILITY_MS / 1000,
        MessageSystemAttributeNames: ['ApproximateReceiveCount'],
        MessageAttributeNames: ['All'],
      }),
    );
    const deliveries: Delivery[] = [];
    for (const message of Messages) {
      const attempt = Number(message.Attributes?.ApproximateReceiveCount ?? 1);
      const delivery = await this.deliver(emailIdOf(message), attempt);
      deliveries.push(delivery);
      const handle = { ...address, ReceiptHandle: message.ReceiptHandle };
      if (delivery.outcome !== 'delayed') await client.send(new DeleteMessageCommand(handle));
      else {
        const VisibilityTimeout = Math.ceil(this.#wait(attempt) / 1000);
        await client.send(new ChangeMessageVisibilityCommand({ ...handle, VisibilityTimeout }));
      }
    }
    client.destroy();
    return deliveries;
  }

  /** Tries one message, as for a job. @param attempt the number of this try; unless given, as the row counts them */
  async deliver(emailId: string, attempt?: number): Promise<Delivery> {
    const { db } = this.#options;
    const row = await claim(db, emailId);
    if (row === null) return { emailId, outcome: 'skipped' };
    const outcome = simulatedOutcome(row);
    if (outcome !== null) {
      await simulate(db, row, outcome);
      return { emailId, outcome: 'simulated' };
    }
    try {
      await this.#send(row);
    } catch (error) {
      return this.#failed(row, attempt ?? row.provider_retry_count + 1, error as Error);
    }
    await markSent(db, emailId);
    return { emailId, outcome: 'sent' };
  }

  /** Closes its connections. */
  close(): void {
    for (const client of this.#clients.values()) client.destroy();
    this.#clients.clear();
  }

  async #send(row: QueuedRow): Promise<void> {
    const domain = await findDomain(this.#options.db, row);
    await this.#clientOf(domain.region).send(new SendEmailCommand(requestOf(row, domain)));
  }

  async #failed(row: QueuedRow, attempt: number, error: Error): Promise<Delivery> {
    const last = attempt >= (this.#options.tries ?? TRIES);
    // By the queue the wait is the job's.
    const wait = this.#options.queue ? null : this.#wait(attempt);
    await markFailedAttempt(this.#options.db, row, { attempt, last, wait, error });
    return { emailId: row.id, outcome: last ? 'failed' : 'delayed', error };
  }

  /** Contract: "60 s visibility", "after three tries in about 70 s"; polling waits seconds only. */
  #wait(attempt: number): number {
    const { wait, queue } = this.#options;
    if (wait) return wait(attempt);
    if (queue) return attempt === 1 ? VISIBILITY_MS : 2 ** attempt * 1000;
    return 2 ** (attempt + 1) * 1000;
  }

  #clientOf(region: string): SESv2Client {
    const existing = this.#clients.get(region);
    if (existing) return existing;
    const client = new SESv2Client({ region, endpoint: this.#options.ses.endpoint, credentials: CREDENTIALS });
    this.#clients.set(region, client);
    return client;
  }
}

/** @throws Error for a job that is not as the contract has it ("The send job") */
export function emailIdOf({ Body = '' }: Message): string {
  const job = JSON.parse(Body) as Record<string, unknown>;
  for (const name of ['id', 'type', 'source', 'requestedAt', 'emailId']) {
    if (typeof job[name] !== 'string' || job[name] === '') throw new Error(`a job without ${name}: ${Body}`);
  }
  if (job['type'] !== 'email.send') throw new Error(`a job of another type: ${Body}`);
  return job['emailId'] as string;
}
