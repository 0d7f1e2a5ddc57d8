import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { History, Overview, Sample } from '../../src/http/operator/contract.ts';
import { follow, type LiveState } from '../shared/api.ts';

export interface Followed {
  readonly live: LiveState;
  /** null until the first has come. */
  readonly overview: Overview | null;
  readonly history: History;
  readonly isPaused: boolean;
  readonly pause: () => void;
}

interface Told {
  readonly overview: Overview | null;
  readonly history: History;
}

const NOTHING: Told = { overview: null, history: { interval: 5_000, most: 180, at: [], series: {} } };

/** Follows what the process does. While the page is paused all of it is kept, and shown afterwards. */
export function useOverview(): Followed {
  const [live, setLive] = useState<LiveState>('connecting');
  const [shown, show] = useState(NOTHING);
  const [isPaused, setPaused] = useState(false);
  const known = useRef(NOTHING);
  const paused = useRef(false);

  useEffect(() => {
    const learn = (told: Told) => {
      known.current = told;
      if (!paused.current) show(told);
    };
    return follow('/live', {
      onState: setLive,
      on: {
        // Of another process than before, where that was started anew.
        history: history => learn({ ...known.current, history: history as History }),
        overview: data => {
          const overview = data as Overview;
          learn({ overview, history: extended(known.current.history, overview.sample) });
        },
      },
    });
  }, []);

  const pause = useCallback(() => {
    paused.current = !paused.current;
    setPaused(paused.current);
    show(known.current);
  }, []);

  return { live, ...shown, isPaused, pause };
}

/** With one sample more, and as many as are kept at most. The first overview has one that is there already. */
function extended(history: History, { at, values }: Sample): History {
  if (at <= (history.at.at(-1) ?? 0) || Object.keys(values).length === 0) return history;
  const { most } = history;
  const names = Object.keys(values) as (keyof typeof values)[];
  const series = names.map(
    name => [name, [...(history.series[name] ?? []), values[name] ?? null].slice(-most)] as const,
  );
  return { ...history, at: [...history.at, at].slice(-most), series: Object.fromEntries(series) };
}
