import { MessageUnread, UNREAD_TEXT } from '../../outgoing/slice-reader.ts';
import type { SesFault } from './classify.ts';

/** A call to SES that failed, with what is known of it. */
export class SesCallError extends Error {
  readonly fault: SesFault;

  constructor(fault: SesFault, options?: ErrorOptions) {
    super(fault.message, options);
    this.name = 'SesCallError';
    this.fault = fault;
  }
}

/**
 * What any error of a call says. One that is none of ours arose before the request was made, when the SDK looked for
 * credentials for instance; its text is for the log only.
 */
export function faultOf(error: unknown): SesFault {
  if (error instanceof SesCallError) return error.fault;
  if (error instanceof MessageUnread) return { stage: 'not-sent', code: error.code, message: UNREAD_TEXT };
  const code = error instanceof Error ? error.name : 'Error';
  const message = 'Amazon SES could not be called: the relay has no credentials for it, or could not use them';
  return { stage: 'not-sent', code, message, reason: 'credentials' };
}
