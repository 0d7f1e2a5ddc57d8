import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { ask } from '../shared/api.ts';
import { Icon } from '../shared/icon.tsx';
import { Chaos } from './chaos.tsx';
import { Help } from './help.tsx';
import { type Command, type Place, useKeys } from './keys.ts';
import { List } from './list.tsx';
import { Message } from './message.tsx';
import { Refused } from './refused.tsx';
import { useMessages } from './use-messages.ts';
import { Welcome } from './welcome.tsx';

/** Milliseconds from the last letter of a search to the search. */
const TYPING = 200;

export function App() {
  const [search, setSearch] = useState(() => new URLSearchParams(location.search).get('query') ?? '');
  const query = useLater(search, TYPING);
  const messages = useMessages(query.trim());
  const { place, selected, select, go } = usePlace();
  const [isHelpOpen, setHelpOpen] = useState(false);
  const [said, say] = useState('');
  const box = useRef<HTMLInputElement>(null);

  const move = useCallback(
    (by: number) => {
      const { messages: rows } = messages;
      const at = rows.findIndex(({ id }) => id === selected);
      const to = at === -1 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by));
      const row = rows[to];
      if (row) select(row.id);
    },
    [messages.messages, selected, select],
  );

  const remove = useCallback(
    async (id: string) => {
      const rows = messages.messages;
      const at = rows.findIndex(row => row.id === id);
      try {
        await ask(`/api/messages/${id}`, { method: 'DELETE' });
        select((rows[at + 1] ?? rows[at - 1])?.id ?? null);
        say('Deleted');
      } catch (error) {
        say((error as Error).message);
      }
    },
    [messages.messages, select],
  );

  const commands: Readonly<Record<Command, () => void>> = {
    next: () => move(1),
    previous: () => move(-1),
    search: () => {
      go('messages');
      box.current?.focus();
    },
    back: () => (isHelpOpen ? setHelpOpen(false) : select(null)),
    messages: () => go('messages'),
    sessions: () => go('sessions'),
    chaos: () => go('chaos'),
    remove: () => void (selected && remove(selected)),
    help: () => setHelpOpen(open => !open),
  };
  useKeys(commands);

  async function removeAll() {
    const what = query.trim() === '' ? 'all messages' : `all messages that match "${query.trim()}"`;
    if (!confirm(`Delete ${what}?`)) return;
    const parameters = query.trim() === '' ? '' : `?${new URLSearchParams({ query: query.trim() })}`;
    const { removed } = await ask<{ removed: number }>(`/api/messages${parameters}`, { method: 'DELETE' });
    select(null);
    say(`${removed} deleted`);
  }

  const { live, total, isLoading, error } = messages;
  // A page has one heading of the first level: the message's subject, where one is open.
  const Brand = selected || place !== 'messages' ? 'p' : 'h1';
  const found = `${messages.messages.length}${messages.hasMore ? '+' : ''} found`;
  return (
    <div class={`app ${selected ? 'has-message' : ''}`}>
      <header class="bar">
        <Brand class="brand">
          <Icon name="inbox" /> Inbox
        </Brand>
        <nav class="places" aria-label="Pages">
          {PLACES.map(([name, title]) => (
            <a
              key={name}
              href={PATHS[name]}
              aria-current={name === place ? 'page' : undefined}
              onClick={event => {
                if (event.ctrlKey || event.metaKey || event.shiftKey) return;
                event.preventDefault();
                go(name);
              }}
            >
              {title}
            </a>
          ))}
        </nav>
        <search class="search">
          <Icon name="search" />
          <label class="unseen" for="search">
            Search messages
          </label>
          <input
            id="search"
            ref={box}
            type="search"
            placeholder="Search: invoice  to:ada@example.com  tag:welcome  has:attachment"
            value={search}
            onInput={event => setSearch(event.currentTarget.value)}
            onKeyDown={event => event.key === 'Escape' && event.currentTarget.blur()}
            autocomplete="off"
            spellcheck={false}
          />
          <span class="key" aria-hidden="true">
            /
          </span>
        </search>
        <span class={`live ${live}`} role="status">
          {live === 'live' ? 'live' : live === 'lost' ? 'connection lost' : 'connecting'}
        </span>
        <button type="button" class="quiet" aria-label="Keyboard shortcuts" onClick={() => setHelpOpen(true)}>
          <Icon name="help" />
        </button>
      </header>
      {place !== 'messages' && <main class="place">{place === 'chaos' ? <Chaos say={say} /> : <Refused />}</main>}
      <main class="panes" hidden={place !== 'messages'}>
        <section class="list-pane" aria-label="Messages">
          <div class="list-head">
            <span>{total === null ? found : `${total.toLocaleString()} ${total === 1 ? 'message' : 'messages'}`}</span>
            <button
              type="button"
              class="quiet"
              onClick={() => void removeAll()}
              disabled={messages.messages.length === 0}
            >
              Delete all
            </button>
          </div>
          {messages.messages.length > 0 ? (
            <List
              messages={messages.messages}
              hasMore={messages.hasMore}
              selected={selected}
              onSelect={select}
              onEnd={messages.loadMore}
            />
          ) : (
            <Welcome isSearch={query.trim() !== ''} isLoading={isLoading} error={error} />
          )}
        </section>
        <section class="message-pane" aria-label="Message">
          {selected ? (
            <Message
              key={selected}
              id={selected}
              changes={messages.changed.ids.has(selected) ? messages.changed.at : 0}
              onBack={() => select(null)}
              onRemove={() => void remove(selected)}
              say={say}
            />
          ) : (
            <p class="nothing">Choose a message to read it. Press ? for the keys.</p>
          )}
        </section>
      </main>
      <output class={`toast ${said ? 'is-shown' : ''}`} aria-live="polite">
        {said}
      </output>
      <Clear said={said} clear={() => say('')} />
      {isHelpOpen && <Help onClose={() => setHelpOpen(false)} />}
    </div>
  );
}

/** Takes what was said away after a while. */
function Clear({ said, clear }: { readonly said: string; readonly clear: () => void }) {
  useEffect(() => {
    if (said === '') return;
    const timer = setTimeout(clear, 4_000);
    return () => clearTimeout(timer);
  }, [said, clear]);
  return null;
}

/** The value as it was some time ago, so that typing does not ask at each letter. */
function useLater<T>(value: T, milliseconds: number): T {
  const [later, setLater] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setLater(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value, milliseconds]);
  return later;
}

const PLACES: readonly (readonly [place: Place, title: string])[] = [
  ['messages', 'Messages'],
  ['sessions', 'Refused'],
  ['chaos', 'Chaos'],
];
const PATHS: Readonly<Record<Place, string>> = { messages: '/', sessions: '/sessions', chaos: '/chaos' };

/** The page and the message that the address names: `/messages/<id>`. */
function usePlace() {
  const [selected, setSelected] = useState(idInAddress);
  const [place, setPlace] = useState(placeInAddress);
  useEffect(() => {
    const look = () => {
      setSelected(idInAddress());
      setPlace(placeInAddress());
    };
    addEventListener('popstate', look);
    return () => removeEventListener('popstate', look);
  }, []);
  const select = useCallback((id: string | null) => {
    const path = id === null ? '/' : `/messages/${id}`;
    if (path !== location.pathname) {
      // Going through the list leaves one step to go back, not a hundred.
      if (idInAddress() !== null && id !== null) history.replaceState(null, '', path);
      else history.pushState(null, '', path);
    }
    setSelected(id);
    setPlace('messages');
  }, []);
  const go = useCallback((to: Place) => {
    if (to === placeInAddress()) return;
    history.pushState(null, '', PATHS[to]);
    setSelected(null);
    setPlace(to);
  }, []);
  return { place, selected, select, go };
}

function placeInAddress(): Place {
  return PLACES.find(([place]) => place !== 'messages' && PATHS[place] === location.pathname)?.[0] ?? 'messages';
}

function idInAddress(): string | null {
  return /^\/messages\/([0-9a-f-]{36})$/.exec(location.pathname)?.[1] ?? null;
}
