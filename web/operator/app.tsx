import { useEffect } from 'preact/hooks';
import { fullTime } from '../shared/format.ts';
import { Icon } from '../shared/icon.tsx';
import { Charts } from './charts.tsx';
import { Fleet } from './fleet.tsx';
import { Panels } from './panels.tsx';
import { Problems } from './problems.tsx';
import { Refused } from './refused.tsx';
import { useOverview } from './use-overview.ts';

export function App() {
  const { live, overview, history, isPaused, pause } = useOverview();
  const count = overview?.problems.length ?? 0;

  useEffect(() => {
    const name = overview ? `${overview.role} · smtp-relay` : 'Operations · smtp-relay';
    document.title = count > 0 ? `(${count}) ${name}` : name;
  }, [overview?.role, count]);

  return (
    <>
      <header class="bar">
        <h1 class="brand">
          <Icon name="pulse" /> Operations
        </h1>
        {overview && (
          <p class="who">
            <span class="badge accent">{overview.role}</span>
            <span class="id" title={`since ${fullTime(overview.startedAt)}`}>
              {overview.id}
            </span>
            <span class="soft version">{overview.version}</span>
          </p>
        )}
        <span class={`live ${isPaused ? 'paused' : live}`} role="status">
          {isPaused ? 'paused' : live === 'live' ? 'live' : live === 'lost' ? 'connection lost' : 'connecting'}
        </span>
        <button type="button" class="quiet" aria-pressed={isPaused} onClick={pause}>
          <Icon name={isPaused ? 'play' : 'pause'} /> {isPaused ? 'Resume' : 'Pause'}
        </button>
      </header>
      <main class="board">
        {overview ? (
          <>
            <Problems overview={overview} isLost={live === 'lost'} />
            <Charts role={overview.role} history={history} />
            <Panels overview={overview} />
            {overview.hasSessions && <Refused isPaused={isPaused} />}
            <Fleet overview={overview} />
          </>
        ) : (
          <p class="nothing" role="status">
            {live === 'lost' ? 'The process cannot be reached. It is asked again and again.' : 'Looking …'}
          </p>
        )}
      </main>
    </>
  );
}
