import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Summary } from '../../src/inbox/contract.ts';
import { shortTime } from '../shared/format.ts';
import { Icon } from '../shared/icon.tsx';
import { Status } from './status.tsx';

export interface ListProps {
  readonly messages: readonly Summary[];
  readonly hasMore: boolean;
  readonly selected: string | null;
  readonly onSelect: (id: string) => void;
  readonly onEnd: () => void;
}

/** Of a row; the style sheet has the same. */
const ROW = 78;
/** Rows above and below what is seen. */
const BEYOND = 8;
/** Rows before the end at which more is asked for. */
const AHEAD = 40;

/** A list of which only the rows that are seen are made, so that ten thousand cost no more than ten. */
export function List({ messages, hasMore, selected, onSelect, onEnd }: ListProps) {
  const frame = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 800 });

  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const look = () => setView({ top: element.scrollTop, height: element.clientHeight });
    const observer = new ResizeObserver(look);
    observer.observe(element);
    element.addEventListener('scroll', look, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener('scroll', look);
    };
  }, []);

  const index = messages.findIndex(({ id }) => id === selected);
  // What is chosen by the keyboard is to be seen.
  useLayoutEffect(() => {
    const element = frame.current;
    if (!element || index === -1) return;
    const top = index * ROW;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + ROW > element.scrollTop + element.clientHeight) element.scrollTop = top + ROW - element.clientHeight;
  }, [index]);

  const first = Math.max(0, Math.floor(view.top / ROW) - BEYOND);
  const last = Math.min(messages.length, Math.ceil((view.top + view.height) / ROW) + BEYOND);
  useEffect(() => {
    if (hasMore && last > messages.length - AHEAD) onEnd();
  }, [hasMore, last, messages.length, onEnd]);

  return (
    <div
      ref={frame}
      class="list"
      role="listbox"
      aria-label="Messages"
      tabIndex={0}
      aria-activedescendant={index === -1 ? undefined : `row-${selected}`}
    >
      <div class="rows" style={{ height: `${messages.length * ROW}px` }} role="presentation">
        {messages.slice(first, last).map((message, offset) => (
          <Row
            key={message.id}
            message={message}
            index={first + offset}
            count={hasMore ? -1 : messages.length}
            isSelected={message.id === selected}
            onSelect={onSelect}
          />
        ))}
      </div>
    </div>
  );
}

interface RowProps {
  readonly message: Summary;
  readonly index: number;
  readonly count: number;
  readonly isSelected: boolean;
  readonly onSelect: (id: string) => void;
}

function Row({ message, index, count, isSelected, onSelect }: RowProps) {
  const { id, to, cc, bcc, from, subject, preview, createdAt, attachments, tags } = message;
  const recipients = [...to, ...cc, ...bcc];
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the list has the focus, and the keys
    <div
      id={`row-${id}`}
      class="row"
      role="option"
      tabIndex={-1}
      aria-selected={isSelected}
      aria-posinset={index + 1}
      aria-setsize={count}
      style={{ transform: `translateY(${index * ROW}px)` }}
      onClick={() => onSelect(id)}
    >
      <div class="row-line">
        <span class="row-to">{recipients[0] ?? 'nobody'}</span>
        {recipients.length > 1 && <span class="count">+{recipients.length - 1}</span>}
        <time class="row-time" dateTime={createdAt}>
          {shortTime(createdAt)}
        </time>
      </div>
      <div class="row-line">
        <span class="row-subject">{subject || '(no subject)'}</span>
        {attachments > 0 && (
          <span class="row-clip">
            <Icon name="clip" />
            <span class="unseen">{attachments} attachments</span>
          </span>
        )}
        <Status message={message} />
      </div>
      <div class="row-line row-preview">
        {tags.slice(0, 2).map(({ name, value }) => (
          <span class="tag" key={name}>
            {value ? `${name}=${value}` : name}
          </span>
        ))}
        <span class="row-text">{preview || `from ${from}`}</span>
      </div>
    </div>
  );
}
