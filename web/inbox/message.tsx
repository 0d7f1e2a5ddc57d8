import { useEffect, useState } from 'preact/hooks';
import type { Details } from '../../src/inbox/contract.ts';
import { ApiError, ask } from '../shared/api.ts';
import { bytes, fullTime } from '../shared/format.ts';
import { Icon } from '../shared/icon.tsx';
import { Actions } from './actions.tsx';
import { Envelope } from './envelope.tsx';
import { Status } from './status.tsx';
import { Tabs } from './tabs.tsx';
import { Changes } from './views/changes.tsx';
import { Headers } from './views/headers.tsx';
import { Html } from './views/html.tsx';
import { Journey } from './views/journey.tsx';
import { Keys } from './views/keys.tsx';
import { Attachments, Parts } from './views/parts.tsx';
import { Session } from './views/session.tsx';
import { Text } from './views/text.tsx';

export interface MessageProps {
  readonly id: string;
  /** Grows when something happens to it. */
  readonly changes: number;
  readonly onBack: () => void;
  readonly onRemove: () => void;
  /** Tells what came of something that was done. */
  readonly say: (text: string) => void;
}

type View = 'html' | 'text' | 'journey' | 'session' | 'headers' | 'parts' | 'source' | 'changes' | 'keys';

/** Everything about one message. */
export function Message({ id, changes, onBack, onRemove, say }: MessageProps) {
  const [details, setDetails] = useState<Details | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [chosen, choose] = useState<View | null>(null);

  const [again, setAgain] = useState(0);
  useEffect(() => {
    const ended = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    ask<Details>(`/api/messages/${id}?bodies=false`, { signal: ended.signal }).then(
      found => {
        setDetails(found);
        setError(null);
        // What was said is written a second later, maybe before anybody tells of changes.
        const isNew = Date.now() - Date.parse(found.message.createdAt) < 10_000;
        if (found.transcript === null && isNew) timer = setTimeout(() => setAgain(again + 1), 1_500);
      },
      problem => {
        if (ended.signal.aborted) return;
        const isGone = problem instanceof ApiError && problem.status === 404;
        if (isGone) setDetails(null);
        setError(isGone ? 'This message is gone: it was deleted, or is not kept any more.' : problem.message);
      },
    );
    return () => {
      ended.abort();
      clearTimeout(timer);
    };
  }, [id, changes, again]);

  if (error !== null && details === null) return <p class="nothing bad">{error}</p>;
  if (details === null) return <p class="nothing">Loading …</p>;
  const { message } = details;
  const view = chosen ?? (details.hasHtml ? 'html' : 'text');
  return (
    <article class="message" aria-labelledby="subject">
      <header class="message-head">
        <div class="message-title">
          <button type="button" class="quiet back" onClick={onBack} aria-label="Back to the list">
            <Icon name="back" />
          </button>
          <h1 id="subject">{message.subject || '(no subject)'}</h1>
          <Status message={message} />
          <span class="actions">
            <a class="button" href={`/api/messages/${id}/source`} download={`${id}.eml`} title="Download as .eml">
              <Icon name="download" />
              <span class="unseen">Download as .eml</span>
            </a>
            <button type="button" class="danger" onClick={onRemove} title="Delete">
              <Icon name="trash" />
              <span class="unseen">Delete</span>
            </button>
          </span>
        </div>
        <Envelope details={details} />
        <p class="facts">
          <time dateTime={message.createdAt}>{fullTime(message.createdAt)}</time>
          {message.size !== null && <span>{bytes(message.size)}</span>}
          {message.owner && <span>owner {message.owner}</span>}
          {message.tags.map(({ name, value }) => (
            <span class="tag" key={`${name}=${value}`}>
              {value ? `${name}=${value}` : name}
            </span>
          ))}
        </p>
        <Attachments id={id} parts={details.parts} />
        <Actions id={id} details={details} say={say} />
      </header>
      <Tabs<View>
        label="Ways to read the message"
        chosen={view}
        onChoose={choose}
        tabs={[
          { name: 'html', title: 'HTML', isDisabled: !details.hasHtml, show: () => <Html id={id} details={details} /> },
          {
            name: 'text',
            title: 'Text',
            isDisabled: !details.hasText,
            show: () => <Text path={`/api/messages/${id}/text`} />,
          },
          { name: 'journey', title: 'Journey', show: () => <Journey details={details} /> },
          { name: 'session', title: 'Session', show: () => <Session details={details} /> },
          { name: 'headers', title: 'Headers', show: () => <Headers fields={details.headers} /> },
          { name: 'parts', title: 'Parts', show: () => <Parts id={id} parts={details.parts} /> },
          { name: 'source', title: 'Source', show: () => <Text path={`/api/messages/${id}/source`} isSource /> },
          { name: 'changes', title: 'Changes', show: () => <Changes id={id} /> },
          { name: 'keys', title: 'Keys', show: () => <Keys id={id} details={details} /> },
        ]}
      />
      {error !== null && <p class="bad">{error}</p>}
    </article>
  );
}
