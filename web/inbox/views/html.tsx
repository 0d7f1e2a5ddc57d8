import { useState } from 'preact/hooks';
import type { Details } from '../../../src/inbox/contract.ts';

/** The HTML in a frame of its own, in which nothing runs. */
export function Html({ id, details }: { readonly id: string; readonly details: Details }) {
  const [isRemote, setRemote] = useState(false);
  const [width, setWidth] = useState<'full' | 'phone'>('full');
  return (
    <div class="html">
      <div class="html-bar">
        {details.asksOthers && (
          <label>
            <input type="checkbox" checked={isRemote} onChange={event => setRemote(event.currentTarget.checked)} />
            Load pictures and styles from elsewhere
          </label>
        )}
        <label class="width">
          <input
            type="checkbox"
            checked={width === 'phone'}
            onChange={event => setWidth(event.currentTarget.checked ? 'phone' : 'full')}
          />
          As wide as a phone
        </label>
      </div>
      <iframe
        class={width}
        title="The HTML of the message"
        src={`/api/messages/${id}/html${isRemote ? '?remote=true' : ''}`}
        sandbox="allow-popups allow-popups-to-escape-sandbox"
        referrerpolicy="no-referrer"
      />
    </div>
  );
}
