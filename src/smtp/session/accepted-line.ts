import type { Accepted } from '../../intake/accept.ts';
import type { LeftOutHeader } from '../../message/header/row-headers.ts';
import type { Logger } from '../../observability/log.ts';
import type { MessageResult } from '../metrics.ts';

/** A client may send very many. */
const LISTED_HEADERS = 30;

export interface AboutAccepted {
  readonly traceId: string;
  /** Its client has gone before it heard of it. */
  readonly isUnheard: boolean;
  /** When its reply was begun, as `performance.now()` tells it. */
  readonly started: number;
}

/** The one line that the log has of a message that was accepted. */
export function logAccepted(logger: Logger, accepted: Accepted, about: AboutAccepted): void {
  const { emailId, key, bytes, recipients, leftOut } = accepted;
  const { traceId, isUnheard, started } = about;
  const known = { emailId, traceId, owner: key.userId, bytes, recipients, headersLeftOut: listed(leftOut) };
  const ms = Math.round(performance.now() - started);
  logger.info({ ...known, ...(isUnheard && { unheard: true }), ms }, `message ${resultOf(accepted)}`);
}

/** As what a message that was accepted is counted. */
export function resultOf({ repeated, sandbox, captured }: Accepted): MessageResult {
  if (repeated) return 'repeated';
  return sandbox ? 'sandbox' : captured ? 'captured' : 'queued';
}

/** What of a message's headers is not sent; nothing where all of them are. */
function listed(leftOut: readonly LeftOutHeader[]): string[] | undefined {
  if (leftOut.length === 0) return undefined;
  const names = leftOut.slice(0, LISTED_HEADERS).map(({ name, reason }) => `${name.slice(0, 126)} (${reason})`);
  return leftOut.length > LISTED_HEADERS ? [...names, `${leftOut.length - LISTED_HEADERS} more`] : names;
}
