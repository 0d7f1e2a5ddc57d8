import { SendMessageBatchCommand, type SQSClient } from '@aws-sdk/client-sqs';
import type { ReceivedMessage } from '../../../test/support/ses/mailbox.ts';
import type { FakeSes } from '../../../test/support/ses/server.ts';
import { chance } from './clients.ts';
import { notificationOf } from './notifications.ts';

export interface RecipientsOptions {
  readonly ses: FakeSes;
  readonly sqs: SQSClient;
  readonly eventsQueueUrl: string;
  /** Ports of the workers' public listeners. */
  readonly workers: readonly number[];
}

/** Those who get the mail: SES tells of deliveries and bounces by the events queue; some people open, and click. */
export class Recipients {
  readonly #options: RecipientsOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #later = new Set<NodeJS.Timeout>();
  #notifications: string[] = [];

  constructor(options: RecipientsOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#look(), LOOK_INTERVAL);
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const timer of this.#later) clearTimeout(timer);
  }

  #look(): void {
    for (const message of this.#options.ses.mailbox.messages.splice(0)) this.#receive(message);
    const batch = this.#notifications;
    this.#notifications = [];
    for (let at = 0; at < batch.length; at += BATCH) this.#notify(batch.slice(at, at + BATCH));
  }

  #receive(message: ReceivedMessage): void {
    this.#after(1, 4, () => this.#notifications.push(notificationOf('Send', message)));
    const fate = chance(0.015) ? 'Bounce' : chance(0.03) ? 'DeliveryDelay' : 'Delivery';
    this.#after(3, 12, () => this.#notifications.push(notificationOf(fate, message)));
    if (fate !== 'Delivery') return;
    if (chance(0.002)) this.#after(20, 60, () => this.#notifications.push(notificationOf('Complaint', message)));
    const text = message.raw.toString('latin1');
    if (chance(0.4)) this.#after(10, 40, () => this.#follow(/\/t\/o\/[\w.-]+/, text));
    if (chance(0.1)) this.#after(15, 50, () => this.#follow(/\/t\/c\/[\w.-]+/, text));
  }

  #follow(link: RegExp, text: string): void {
    const path = link.exec(text)?.[0];
    const { workers } = this.#options;
    const port = workers[Math.floor(Math.random() * workers.length)];
    if (path) fetch(`http://127.0.0.1:${port}${path}`, { redirect: 'manual' }).catch(() => {});
  }

  #notify(bodies: readonly string[]): void {
    const { sqs, eventsQueueUrl } = this.#options;
    const Entries = bodies.map((MessageBody, index) => ({ Id: String(index), MessageBody }));
    sqs.send(new SendMessageBatchCommand({ QueueUrl: eventsQueueUrl, Entries })).catch(() => {});
  }

  /** Does something between so many seconds from now. */
  #after(least: number, most: number, act: () => void): void {
    const timer = setTimeout(
      () => {
        this.#later.delete(timer);
        act();
      },
      (least + Math.random() * (most - least)) * 1000,
    );
    this.#later.add(timer);
  }
}

/** Milliseconds. */
const LOOK_INTERVAL = 500;
/** The most that SQS takes at once. */
const BATCH = 10;
