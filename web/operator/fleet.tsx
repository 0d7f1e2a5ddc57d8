import type { Declared, FleetView, Overview } from '../../src/http/operator/contract.ts';
import { span } from '../shared/format.ts';
import { ago, Card, Counts, Lines } from './parts.tsx';

/** What the database tells of all processes together. */
export function Fleet({ overview }: { readonly overview: Overview }) {
  const { fleet, declared } = overview;
  return (
    <section aria-labelledby="fleet">
      <h2 id="fleet">The whole installation</h2>
      <div class="grid">
        {fleet === null ? (
          <Card title="All of it">
            <p class="soft">{whyUnknown(overview)}</p>
          </Card>
        ) : (
          <Known fleet={fleet} />
        )}
        {declared && (
          <Card title="Declared resources">
            <Resources declared={declared} />
          </Card>
        )}
      </div>
    </section>
  );
}

function whyUnknown({ pipeline, mayReadFleet }: Overview): string {
  if (pipeline === 'opensend') return "OpenSend's own worker delivers; what it does is shown there.";
  if (!mayReadFleet) return 'The database role of this process may not read it: the page of a worker shows it.';
  return 'The database cannot be read just now.';
}

function Known({ fleet }: { readonly fleet: FleetView }) {
  const { acceptedPerSecond, workers, liveWorkers, inHand, held, oldestWaiting, outcomes, shutWays } = fleet;
  return (
    <>
      <Card title="All of it">
        <Lines
          rows={[
            ['Accepted', `${acceptedPerSecond.toLocaleString()}/s`],
            [
              'Oldest message to be sent',
              oldestWaiting === 0 ? 'none waits' : `waits for ${span(1_000 * oldestWaiting)}`,
            ],
            ['Claimed by workers', inHand.toLocaleString()],
            ['Held for a person', held.toLocaleString(), held > 0 ? 'wait' : ''],
            ['Ways out that rest', shutWays.join(', ') || 'none', shutWays.length > 0 ? 'wait' : ''],
          ]}
        />
      </Card>
      <Card title={`Workers that live: ${liveWorkers}`}>
        {workers.length === 0 ? (
          <p class="soft">None gives a sign of life.</p>
        ) : (
          <Lines
            rows={workers.map(({ id, startedAt, silentMs }) => [id, `${ago(startedAt)}, seen ${span(silentMs)} ago`])}
          />
        )}
      </Card>
      <Card title="The newest sends">
        <Counts tally={{ rows: outcomes }} />
      </Card>
    </>
  );
}

function Resources({ declared }: { readonly declared: Declared }) {
  const { total, ready, leader, objects, omitted } = declared;
  return (
    <>
      <Lines
        rows={[
          ['Ready', `${ready} of ${total}`, ready < total ? 'wait' : 'good'],
          ['Looked after by', leader ?? 'nobody', leader === null ? 'wait' : ''],
        ]}
      />
      <ul class="counts">
        {objects.map(({ kind, name, isReady, reason, message, since }) => (
          <li key={`${kind}/${name}`}>
            <span class="what">
              {kind} <b>{name}</b>
            </span>
            <span class={`badge ${isReady ? 'good' : 'bad'}`}>{isReady ? 'ready' : reason}</span>
            {!isReady && (
              <span class="below">
                {message} ({ago(since)})
              </span>
            )}
          </li>
        ))}
      </ul>
      {omitted > 0 && <p class="soft">and {omitted.toLocaleString()} more</p>}
    </>
  );
}
