import type { Logger } from '../../observability/log.ts';
import type { EventIntake } from '../intake.ts';
import type { EventsMetrics } from '../metrics.ts';
import { Certificates, CertificateUnavailable, fetchText, snsUrl } from './certificates.ts';
import { isSigned, readSnsMessage, type SnsMessage } from './message.ts';

/** What SNS is answered. It tries again after 429 and 5xx, and gives the message up after other 4xx. */
export interface SnsAnswer {
  readonly status: 200 | 400 | 403 | 503;
  readonly reason: 'taken' | 'confirmed' | 'unsubscribed' | 'malformed' | 'topic' | 'signature' | 'unavailable';
}

/** Takes notifications that SNS posts by HTTPS. It knows nothing of the HTTP framework in front of it. */
export interface SnsReceiver {
  /**
   * Takes one request. Never rejects.
   *
   * @param body as it came; SNS declares its JSON as text/plain
   * @param headers in lower case, as Node gives them
   */
  receive(
    body: string | Buffer,
    headers?: Readonly<Record<string, string | readonly string[] | undefined>>,
  ): Promise<SnsAnswer>;
}

export interface SnsReceiverDependencies {
  /** The ARNs of the topics whose messages are taken, as configured by now. */
  readonly topics: () => readonly string[];
  readonly intake: EventIntake;
  readonly metrics: EventsMetrics;
  readonly logger: Logger;
  readonly fetch?: typeof globalThis.fetch;
  readonly now?: () => Date;
}

/** SNS takes messages of 256 KiB; as text within JSON, one can be larger. */
const MAX_BODY = 1_048_576;
/** Milliseconds. */
const CONFIRM_TIMEOUT = 10_000;

const ANSWERS = {
  taken: { status: 200, reason: 'taken' },
  confirmed: { status: 200, reason: 'confirmed' },
  unsubscribed: { status: 200, reason: 'unsubscribed' },
  malformed: { status: 400, reason: 'malformed' },
  topic: { status: 403, reason: 'topic' },
  signature: { status: 403, reason: 'signature' },
  unavailable: { status: 503, reason: 'unavailable' },
} as const satisfies Record<string, SnsAnswer>;

/**
 * Receives the posts of SNS. Nothing is fetched for topics that are not allowed, and nothing is believed before its signature is
 * verified. Old messages are taken too: SNS tries for hours, and a message that comes twice is known by its content.
 */
export function createSnsReceiver(dependencies: SnsReceiverDependencies): SnsReceiver {
  const { topics, intake, metrics, logger, fetch = globalThis.fetch, now = () => new Date() } = dependencies;
  const certificates = new Certificates({ fetch, now });

  async function take(body: string): Promise<SnsAnswer> {
    const message = readSnsMessage(body);
    if (message === null) return ANSWERS.malformed;
    if (!topics().includes(message.topicArn)) return ANSWERS.topic;
    const key = await certificates.key(message.signingCertUrl, message.topicArn);
    if (key === null || !isSigned(message, key)) return ANSWERS.signature;
    const { topicArn } = message;
    switch (message.type) {
      case 'Notification': {
        const [taken] = await intake.record([message.message], 'sns');
        return taken ? ANSWERS.taken : ANSWERS.malformed;
      }
      case 'SubscriptionConfirmation':
        return confirm(message);
      case 'UnsubscribeConfirmation':
        logger.warn({ topicArn }, 'SNS says that this topic is no longer subscribed to; its events will not come');
        return ANSWERS.unsubscribed;
    }
  }

  async function confirm({ subscribeUrl, topicArn }: SnsMessage): Promise<SnsAnswer> {
    const url = snsUrl(subscribeUrl ?? '');
    if (url === null) return ANSWERS.malformed;
    const { status } = await fetchText(fetch, url.href, { timeout: CONFIRM_TIMEOUT, maxBytes: MAX_BODY });
    if (status !== 200) throw new Error(`SNS answers ${status} to the confirmation`);
    logger.info({ topicArn }, 'subscription to the topic confirmed');
    return ANSWERS.confirmed;
  }

  async function receive(body: string | Buffer): Promise<SnsAnswer> {
    if (body.length > MAX_BODY) return ANSWERS.malformed;
    try {
      return await take(body.toString());
    } catch (error) {
      const what = error instanceof CertificateUnavailable ? 'message of SNS not verified' : 'message of SNS not taken';
      logger.warn({ err: error }, `${what}; SNS will try again`);
      return ANSWERS.unavailable;
    }
  }

  return {
    async receive(body, headers = {}) {
      const answer = await receive(body);
      if (answer.reason === 'malformed' && headers['x-amz-sns-rawdelivery'] === 'true') {
        logger.warn('the subscription has raw message delivery on, which carries no signature: switch it off');
      }
      if (answer.status !== 200) metrics.snsRefusals.inc({ reason: answer.reason });
      return answer;
    },
  };
}
