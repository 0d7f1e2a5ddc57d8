import type { Overview, Room } from '../../src/http/operator/contract.ts';
import { bytes, fullTime } from '../shared/format.ts';
import { ago, Bar, Card, Counts, Lines, type Row } from './parts.tsx';

/** What there is to be said of this process beside the charts. */
export function Panels({ overview }: { readonly overview: Overview }) {
  const { rooms, tallies, shutRoutes } = overview;
  return (
    <section aria-labelledby="process">
      <h2 id="process">How it stands</h2>
      <div class="grid">
        <Card title="Dependencies">
          <Dependencies overview={overview} />
        </Card>
        <Card title="How full it is">
          {rooms.map(room => (
            <Meter key={room.what} room={room} />
          ))}
        </Card>
        <Card title="Configuration">
          <Configuration overview={overview} />
        </Card>
        {shutRoutes.length > 0 && (
          <Card title="Ways out that are shut">
            <Lines
              rows={shutRoutes.map(
                ({ route, reason, since }) => [route, `${reason}, for ${ago(since)}`, 'bad'] as const,
              )}
            />
          </Card>
        )}
        {tallies.map(tally => (
          <Card key={tally.title} title={tally.title}>
            <Counts tally={tally} />
          </Card>
        ))}
      </div>
    </section>
  );
}

function Dependencies({ overview: { dependencies } }: { readonly overview: Overview }) {
  const names: Readonly<Record<string, string>> = { postgres: 'Postgres', sqs: 'SQS', s3: 'S3' };
  return (
    <ul class="counts">
      {dependencies.map(({ name, ok, latencyMs, lastError }) => (
        <li key={name}>
          <span class="what">{names[name] ?? name}</span>
          <span class={`badge ${ok ? 'good' : 'bad'}`}>{ok ? `${latencyMs} ms` : 'away'}</span>
          {lastError && (
            <span class="below">
              {ok ? 'last' : ''} fault {lastError.class}, {ago(lastError.at)} ago
            </span>
          )}
        </li>
      ))}
    </ul>
  );
}

function Meter({ room: { what, bound, used, most, unit } }: { readonly room: Room }) {
  const share = most > 0 ? used / most : 0;
  const say = (value: number) => (unit === 'bytes' ? bytes(value) : value.toLocaleString());
  return (
    <div class="meter">
      <span class="what">{what}</span>{' '}
      <b>
        {say(used)} <span class="soft">of {say(most)}</span>
      </b>
      <Bar share={share} tone={share > 0.95 ? 'bad' : share > 0.8 ? 'wait' : 'accent'} />
      <span class="below">{bound}</span>
    </div>
  );
}

function Configuration({ overview }: { readonly overview: Overview }) {
  const { configuration, certificateEndsAt, pipeline, startedAt, isReady } = overview;
  const rows: Row[] = [
    ['Ready', isReady ? 'yes' : 'no', isReady ? 'good' : 'bad'],
    ['Generation', `${configuration.generation}, since ${fullTime(configuration.loadedAt)}`],
    ['Takes a restart', configuration.restartToApply.join(', ') || 'nothing'],
    ['Pipeline', pipeline],
    ['Running for', ago(startedAt)],
  ];
  if (certificateEndsAt !== null) {
    const days = Math.floor((Date.parse(certificateEndsAt) - Date.now()) / 86_400_000);
    const tone = days < 1 ? 'bad' : days < 7 ? 'wait' : '';
    rows.splice(1, 0, ['Certificate', days < 0 ? 'has ended' : `${days} ${days === 1 ? 'day' : 'days'} left`, tone]);
  }
  return <Lines rows={rows} />;
}
