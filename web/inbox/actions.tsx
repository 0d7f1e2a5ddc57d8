import { useState } from 'preact/hooks';
import type { Details, Released, Simulate, Simulated } from '../../src/inbox/contract.ts';
import { ask } from '../shared/api.ts';
import { Icon, type IconName } from '../shared/icon.tsx';

export interface ActionsProps {
  readonly id: string;
  readonly details: Details;
  /** Tells what came of it. */
  readonly say: (text: string) => void;
}

const BUTTONS: readonly (readonly [type: Simulate['type'], title: string, icon: IconName])[] = [
  ['delivered', 'Deliver', 'check'],
  ['bounced', 'Bounce', 'cross'],
  ['complained', 'Complain', 'flag'],
  ['delayed', 'Delay', 'clock'],
  ['opened', 'Open', 'open'],
  ['clicked', 'Click', 'click'],
];

const SAID: Readonly<Record<Simulate['type'], string>> = {
  delivered: 'Delivered',
  bounced: 'Bounced: suppressed from now on',
  complained: 'Complained: suppressed from now on',
  delayed: 'Delayed',
  opened: 'Opened',
  clicked: 'Clicked',
};

/** What SES would tell, or a reader do, at the press of a button: events and webhooks follow as in production. */
export function Actions({ id, details, say }: ActionsProps) {
  const { envelope, links, canRelease } = details;
  const [recipient, setRecipient] = useState('');
  const [link, setLink] = useState('');

  async function simulate(type: Simulate['type']) {
    const about = type === 'clicked' ? { ...(link && { link }) } : { ...(recipient && { recipient }) };
    try {
      const json: Simulate = { type, ...about };
      const { recipients } = await ask<Simulated>(`/api/messages/${id}/events`, { method: 'POST', json });
      say(`${SAID[type]}: ${type === 'opened' || type === 'clicked' ? 'the message' : recipients.join(', ')}`);
    } catch (error) {
      say((error as Error).message);
    }
  }

  async function send() {
    const to = prompt(
      'Send it to (commas between addresses):',
      envelope.recipients.map(({ address }) => address).join(', '),
    );
    if (to === null) return;
    const json = {
      to: to
        .split(',')
        .map(address => address.trim())
        .filter(Boolean),
    };
    try {
      const { recipients, response } = await ask<Released>(`/api/messages/${id}/release`, { method: 'POST', json });
      say(`Sent to ${recipients.join(', ')}: ${response}`);
    } catch (error) {
      say((error as Error).message);
    }
  }

  return (
    <fieldset class="simulate">
      <legend class="unseen">Have something happen to the message</legend>
      <span class="soft">Simulate</span>
      {BUTTONS.map(([type, title, icon]) => (
        <button
          type="button"
          key={type}
          onClick={() => void simulate(type)}
          disabled={type === 'clicked' && links.length === 0}
        >
          <Icon name={icon} />
          {title}
        </button>
      ))}
      {envelope.recipients.length > 1 && (
        <select
          aria-label="Which recipient"
          value={recipient}
          onChange={event => setRecipient(event.currentTarget.value)}
        >
          <option value="">all recipients</option>
          {envelope.recipients.map(({ address }) => (
            <option key={address}>{address}</option>
          ))}
        </select>
      )}
      {links.length > 1 && (
        <select aria-label="Which link" value={link} onChange={event => setLink(event.currentTarget.value)}>
          <option value="">first link</option>
          {links.map(each => (
            <option key={each}>{each}</option>
          ))}
        </select>
      )}
      {canRelease && (
        <button type="button" onClick={() => void send()}>
          <Icon name="send" />
          Release
        </button>
      )}
    </fieldset>
  );
}
