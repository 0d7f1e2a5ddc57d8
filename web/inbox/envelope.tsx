import type { Details } from '../../src/inbox/contract.ts';

const LABELS: Readonly<Record<string, string>> = { to: 'To', cc: 'Cc', bcc: 'Bcc' };

const TONES: Readonly<Record<string, string>> = {
  sent: 'good',
  delivered: 'good',
  transient: 'wait',
  delayed: 'wait',
  delivery_delayed: 'wait',
};

/** Who it is from and for: as its header says, and beside that as the envelope says, which is what counts. */
export function Envelope({ details }: { readonly details: Details }) {
  const { message, envelope } = details;
  const isOtherReturn = envelope.from !== '' && envelope.from !== addressIn(message.from);
  return (
    <dl class="envelope">
      <div>
        <dt>From</dt>
        <dd>
          {message.from}
          {isOtherReturn && <span class="aside">bounces to {envelope.from}</span>}
        </dd>
      </div>
      {['to', 'cc', 'bcc'].map(field => {
        const recipients = envelope.recipients.filter(recipient => recipient.field === field);
        if (recipients.length === 0) return null;
        return (
          <div key={field}>
            <dt>{LABELS[field]}</dt>
            <dd>
              <ul class="recipients">
                {recipients.map(({ address, outcome }) => (
                  <li key={address}>
                    {address}
                    {outcome && <span class={`badge ${TONES[outcome] ?? 'bad'}`}>{outcome.replace('_', ' ')}</span>}
                  </li>
                ))}
              </ul>
              {field === 'bcc' && <span class="aside">in the envelope only: no header names them</span>}
            </dd>
          </div>
        );
      })}
      {details.replyTo.length > 0 && (
        <div>
          <dt>Reply to</dt>
          <dd>{details.replyTo.join(', ')}</dd>
        </div>
      )}
    </dl>
  );
}

function addressIn(mailbox: string): string {
  return /<([^<>]*)>$/.exec(mailbox)?.[1] ?? mailbox;
}
