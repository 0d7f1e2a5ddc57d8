import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { Details, Page, Summary } from '../../src/inbox/contract.ts';
import { ask, follow, type LiveState } from '../shared/api.ts';

export interface MessageList {
  readonly messages: readonly Summary[];
  /** Whether there is more, further down. */
  readonly hasMore: boolean;
  /** In all; null in a search. */
  readonly total: number | null;
  /** null: none was tried yet. */
  readonly error: string | null;
  readonly isLoading: boolean;
}

export interface Messages extends MessageList {
  readonly live: LiveState;
  loadMore(): void;
  /** Grows with each change of one of these messages, and where they are removed. */
  readonly changed: { readonly ids: ReadonlySet<string>; readonly at: number };
}

const EMPTY: MessageList = { messages: [], hasMore: false, total: null, error: null, isLoading: true };
const PAGE = 100;
/** Milliseconds in which changes are gathered. */
const GATHER = 120;
/** Older messages of which the row is asked for anew, one by one. */
const MOST_SINGLE = 20;

/** The messages that a search finds, kept up to date by what the server tells. */
export function useMessages(query: string): Messages {
  const [list, setList] = useState(EMPTY);
  const [live, setLive] = useState<LiveState>('connecting');
  const [changed, setChanged] = useState<Messages['changed']>({ ids: new Set(), at: 0 });
  const next = useRef<string | null>(null);
  const isAsking = useRef(false);
  const latest = useRef(list);
  latest.current = list;

  const load = useCallback(
    async (signal: AbortSignal): Promise<void> => {
      const page = await ask<Page>(pathFor(query), { signal });
      setList(before => {
        const merged = merge(before, page);
        if (merged === null) next.current = page.next;
        return merged ?? { ...loaded(page), messages: page.messages };
      });
    },
    [query],
  );

  useEffect(() => {
    const ended = new AbortController();
    next.current = null;
    setList(before => ({ ...before, isLoading: true }));
    const first = ask<Page>(pathFor(query), { signal: ended.signal });
    first
      .then(async page => (page.messages.length > 0 || page.next === null ? page : askOn(query, page.next)))
      .then(
        page => {
          if (ended.signal.aborted) return;
          next.current = page.next;
          setList({ ...loaded(page), messages: page.messages });
        },
        error => ended.signal.aborted || setList({ ...EMPTY, isLoading: false, error: String(error.message) }),
      );

    let gathered = new Set<string>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const refresh = async () => {
      timer = undefined;
      const ids = gathered;
      gathered = new Set();
      await load(ended.signal).catch(() => {});
      const known = latest.current.messages.findIndex(({ id }) => ids.has(id));
      if (known >= PAGE) await refreshRows([...ids].slice(0, MOST_SINGLE), setList, ended.signal);
      setChanged(({ at }) => ({ ids, at: at + 1 }));
    };
    const end = follow('/api/live', {
      onState: setLive,
      on: {
        hello: () => void load(ended.signal).catch(() => {}),
        change: data => {
          const { ids, removed } = data as { ids: string[]; removed: string[] };
          if (removed.length > 0) {
            setList(before => without(before, new Set(removed)));
            setChanged(({ at }) => ({ ids: new Set(removed), at: at + 1 }));
          }
          for (const id of ids) gathered.add(id);
          if (ids.length > 0) timer ??= setTimeout(() => void refresh(), GATHER);
        },
      },
    });
    return () => {
      ended.abort();
      clearTimeout(timer);
      end();
    };
  }, [query, load]);

  const loadMore = useCallback(() => {
    if (next.current === null || isAsking.current) return;
    isAsking.current = true;
    askOn(query, next.current)
      .then(page => {
        next.current = page.next;
        setList(before => ({
          ...before,
          hasMore: page.next !== null,
          messages: distinct([...before.messages, ...page.messages]),
        }));
      })
      .catch(() => {})
      .finally(() => {
        isAsking.current = false;
      });
  }, [query]);

  return { ...list, live, changed, loadMore };
}

/** Pages that are asked for at most until one has a message; where few of many are meant, there are empty ones before it. */
const MOST_EMPTY = 50;

async function askOn(query: string, after: string | null): Promise<Page> {
  let page: Page = { messages: [], next: after };
  for (let asked = 0; page.next !== null && page.messages.length === 0 && asked < MOST_EMPTY; asked += 1) {
    page = await ask<Page>(pathFor(query, page.next));
  }
  return page;
}

function pathFor(query: string, after?: string): string {
  const parameters = new URLSearchParams({ limit: String(PAGE), ...(query && { query }), ...(after && { after }) });
  return `/api/messages?${parameters}`;
}

function loaded(page: Page): Omit<MessageList, 'messages'> {
  return { hasMore: page.next !== null, total: page.total ?? null, error: null, isLoading: false };
}

/** The newest page over what is there; null where they do not meet, so that something would be missing in between. */
function merge(before: MessageList, page: Page): MessageList | null {
  if (page.next !== null && page.messages.length < PAGE) {
    // It has looked through the newest thousands, down to this time: what was found further down stays.
    const end = Date.parse(page.next.split('_')[0] ?? '');
    const older = before.messages.filter(({ createdAt }) => Date.parse(createdAt) < end);
    return { ...before, total: page.total ?? null, messages: distinct([...page.messages, ...older]), error: null };
  }
  const fresh = new Map(page.messages.map(message => [message.id, message]));
  const meets = before.messages.findLastIndex(({ id }) => fresh.has(id));
  if (meets === -1) return null;
  const rest = before.messages.filter(({ id }, index) => index > meets || fresh.has(id)).slice();
  const older = rest.filter(({ id }) => !fresh.has(id));
  return { ...before, total: page.total ?? null, messages: [...page.messages, ...older], error: null };
}

function without(list: MessageList, ids: ReadonlySet<string>): MessageList {
  const messages = list.messages.filter(({ id }) => !ids.has(id));
  const gone = list.messages.length - messages.length;
  return { ...list, messages, total: list.total === null ? null : Math.max(0, list.total - gone) };
}

function distinct(messages: readonly Summary[]): Summary[] {
  return [...new Map(messages.map(message => [message.id, message])).values()];
}

async function refreshRows(
  ids: readonly string[],
  set: (change: (list: MessageList) => MessageList) => void,
  signal: AbortSignal,
): Promise<void> {
  const rows = await Promise.all(
    ids.map(id => ask<Details>(`/api/messages/${id}?bodies=false`, { signal }).catch(() => null)),
  );
  const fresh = new Map(rows.flatMap(row => (row ? [[row.message.id, row.message] as const] : [])));
  set(list => ({ ...list, messages: list.messages.map(message => fresh.get(message.id) ?? message) }));
}
