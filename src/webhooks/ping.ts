import { randomUUID } from 'node:crypto';
import { deliveryHeaders, isSuccess } from './attempt.ts';
import { type EndpointClient, NoAnswer } from './endpoint-client.ts';

/** What came of a test delivery. */
export interface PingResult {
  readonly ok: boolean;
  /** `webhook-id` of the delivery. */
  readonly id: string;
  readonly statusCode: number | null;
  /** The beginning of the answer, or why there was none. */
  readonly answer: string;
  readonly milliseconds: number;
}

export interface PingTarget {
  readonly webhookId: string;
  readonly url: string;
  readonly secrets: readonly string[];
  /** When it is, by the clock that workers sign by. */
  readonly at: Date;
}

/** Sends an endpoint a signed delivery of type `email.test`, at once and once, with nothing recorded. */
export async function ping({ webhookId, url, secrets, at }: PingTarget, client: EndpointClient): Promise<PingResult> {
  const id = randomUUID();
  const data = { webhook_id: webhookId, message: 'A test. Nothing has happened.' };
  const body = Buffer.from(JSON.stringify({ id, type: 'email.test', created_at: at.toISOString(), data }));
  const began = performance.now();
  const elapsed = () => Math.round(performance.now() - began);
  try {
    const answer = await client.post(url, deliveryHeaders(id, at, body, secrets), body);
    return { ok: isSuccess(answer), id, statusCode: answer.statusCode, answer: answer.body, milliseconds: elapsed() };
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    return { ok: false, id, statusCode: null, answer: error.message, milliseconds: elapsed() };
  }
}
