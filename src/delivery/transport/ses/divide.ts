import type { Span } from '../../../observability/tracing.ts';
import type { Outcome, OutgoingMessage, RecipientOutcome } from '../contract.ts';

/** SES refuses a whole call for one address; these are its words for that. */
const ABOUT_ADDRESSES = /address|domain|recipient/i;

type Call = (message: OutgoingMessage, signal: AbortSignal, span?: Span) => Promise<Outcome>;
type Divide = (
  message: OutgoingMessage,
  refusal: Outcome,
  signal: AbortSignal,
  span?: Span,
) => Promise<readonly RecipientOutcome[]>;

/**
 * What sends a message in ever smaller parts that SES has refused as a whole, so that a bad address costs nobody else the message.
 * Where both halves are refused in the same words, and one recipient alone is too, these are about what all parts have in common,
 * the sender or the message, and no further part is tried.
 *
 * @param call one call for one part, behind the wait for the send rate
 * @returns takes what was said of the message as a whole
 */
export function divider(call: Call): Divide {
  return async (message, refusal, signal, span) => {
    const callFor = (recipients: readonly string[]) => call({ ...message, recipients }, signal, span);
    let wasProbed = false;

    /** @param refusal what was said of all of them together */
    async function divide(recipients: readonly string[], refusal: Outcome): Promise<readonly RecipientOutcome[]> {
      if (recipients.length === 1) return [{ recipients, outcome: refusal }];
      const middle = Math.ceil(recipients.length / 2);
      const parts: RecipientOutcome[] = [];
      for (const part of [recipients.slice(0, middle), recipients.slice(middle)])
        parts.push({ recipients: part, outcome: await callFor(part) });
      const [one, other] = parts.map(({ outcome }) => (outcome.kind === 'permanent' ? outcome.message : null));
      if (one && one === other && recipients.length > 3 && !wasProbed) return probe(parts, one);
      return divideEach(parts);
    }

    async function divideEach(parts: readonly RecipientOutcome[]): Promise<readonly RecipientOutcome[]> {
      const divided: RecipientOutcome[] = [];
      for (const { recipients, outcome } of parts) {
        const more = mayBeOneAddress(outcome, recipients);
        divided.push(...(more ? await divide(recipients, outcome) : [{ recipients, outcome }]));
      }
      return divided;
    }

    /** Two bad addresses may be one in each half: the first of each half says whether it is that. */
    async function probe(parts: readonly RecipientOutcome[], words: string): Promise<readonly RecipientOutcome[]> {
      wasProbed = true;
      const known: RecipientOutcome[] = [];
      for (const { recipients } of parts) {
        const alone = recipients.slice(0, 1);
        const outcome = await callFor(alone);
        known.push({ recipients: alone, outcome });
        // One that is not refused so has said enough.
        if (outcome.kind !== 'permanent' || outcome.message !== words) break;
      }
      if (known.every(({ outcome }) => outcome.kind === 'permanent' && outcome.message === words)) return parts;
      const rest: RecipientOutcome[] = [];
      for (const [index, { recipients, outcome }] of parts.entries()) {
        const others = index < known.length ? recipients.slice(1) : recipients;
        // What was said of two says nothing of one of them.
        rest.push({ recipients: others, outcome: others.length === 1 ? await callFor(others) : outcome });
      }
      return [...known, ...(await divideEach(rest))];
    }

    return divide(message.recipients, refusal);
  };
}

/** Where SES names identities that it does not know, the sender's may be all that is wrong, and that is wrong for everyone. */
export function mayBeOneAddress(outcome: Outcome, recipients: readonly string[]): boolean {
  if (outcome.kind !== 'permanent') return false;
  const text = outcome.message.toLowerCase();
  return outcome.code === 'BadRequestException'
    ? ABOUT_ADDRESSES.test(text)
    : recipients.some(address => text.includes(address.toLowerCase()));
}
