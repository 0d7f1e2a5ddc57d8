import type { Details } from '../../../src/inbox/contract.ts';
import { Transcript } from '../../shared/transcript.tsx';

/** What was said in the session that brought the message. */
export function Session({ details: { session, transcript } }: { readonly details: Details }) {
  const facts = [
    session?.client && `from ${session.client}`,
    session?.helo && `which says it is ${session.helo}`,
    session?.protocol && `with ${session.protocol}`,
    session?.id && `session ${session.id}`,
  ].filter(Boolean);
  return (
    <>
      {facts.length > 0 && <p class="session-facts">{facts.join(', ')}</p>}
      {transcript === null ? (
        <p class="nothing">
          What was said is not kept: it is for a day after a message that went to nobody (sessions.kept), and written a
          second after its 250.
        </p>
      ) : (
        <Transcript lines={transcript.lines} />
      )}
    </>
  );
}
