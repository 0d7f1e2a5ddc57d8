import { useState } from 'preact/hooks';
import type { History } from '../../src/http/operator/contract.ts';
import { bytes, exactTime, span } from '../shared/format.ts';
import { Chart, type ChartProps } from './chart.tsx';

type Described = Pick<ChartProps, 'title' | 'lines' | 'format' | 'least' | 'note'>;

const perSecond = (value: number) => `${value >= 100 ? Math.round(value) : Number(value.toPrecision(2))}/s`;
const seconds = (value: number) => span(1_000 * value);
const count = (value: number) => Math.round(value).toLocaleString();
const percent = (value: number) => `${Math.round(100 * value)} %`;

const OUTBOX: Described = {
  title: 'Outbox',
  lines: [
    { series: 'outboxDue', label: 'due', tone: 'accent' },
    { series: 'queueJobs', label: 'in the queue', tone: 'soft' },
  ],
  format: count,
  least: 10,
  note: 'Of the whole installation; asked for while a page is open.',
};
const OUTBOX_AGE: Described = {
  title: 'Age of the first job due',
  lines: [{ series: 'outboxAge', label: 'due for', tone: 'accent' }],
  format: seconds,
  least: 5,
};
const PUBLISHING: Described = {
  title: 'Jobs published',
  lines: [
    { series: 'published', label: 'published', tone: 'good' },
    { series: 'unpublished', label: 'not taken', tone: 'bad' },
  ],
  format: perSecond,
  least: 1,
};
const PROCESS: readonly Described[] = [
  {
    title: 'Event loop at work',
    lines: [{ series: 'busy', label: 'busy', tone: 'accent' }],
    format: percent,
    least: 1,
  },
  {
    title: 'Memory',
    lines: [{ series: 'memory', label: 'resident', tone: 'accent' }],
    format: bytes,
    least: 100_000_000,
  },
];

const CHARTS: Readonly<Record<'relay' | 'worker', readonly Described[]>> = {
  relay: [
    {
      title: 'Messages',
      lines: [
        { series: 'accepted', label: 'accepted', tone: 'good' },
        { series: 'deferred', label: 'put off', tone: 'wait' },
        { series: 'refused', label: 'refused', tone: 'bad' },
        { series: 'faults', label: 'faults', tone: 'soft' },
      ],
      format: perSecond,
      least: 1,
    },
    {
      title: 'Time to the 250',
      lines: [
        { series: 'acceptanceMedian', label: 'median', tone: 'accent' },
        { series: 'acceptance99', label: '99 of 100', tone: 'wait' },
      ],
      format: seconds,
      least: 0.01,
    },
    {
      title: 'Client connections',
      lines: [{ series: 'connections', label: 'open', tone: 'accent' }],
      format: count,
      least: 10,
    },
    PUBLISHING,
    OUTBOX,
    OUTBOX_AGE,
    ...PROCESS,
  ],
  worker: [
    {
      title: 'Recipients',
      lines: [
        { series: 'sent', label: 'sent', tone: 'good' },
        { series: 'retried', label: 'to be tried again', tone: 'wait' },
        { series: 'failed', label: 'failed', tone: 'bad' },
      ],
      format: perSecond,
      least: 1,
    },
    {
      title: 'From acceptance to sending',
      lines: [{ series: 'sendAge95', label: '95 of 100', tone: 'accent' }],
      format: seconds,
      least: 1,
    },
    {
      title: 'Messages in hand',
      lines: [{ series: 'inHand', label: 'claimed', tone: 'accent' }],
      format: count,
      least: 10,
    },
    PUBLISHING,
    OUTBOX,
    OUTBOX_AGE,
    ...PROCESS,
  ],
};

/** All charts of a role. One moment is looked at in all of them: by the pointer, or by the slider. */
export function Charts({ role, history }: { readonly role: 'relay' | 'worker'; readonly history: History }) {
  const [moment, setMoment] = useState<number | null>(null);
  const { at, most, interval } = history;
  const newest = at.length - 1;
  const time = at[moment ?? newest];
  return (
    <section aria-labelledby="charts">
      <div class="section-head">
        <h2 id="charts">This process, the last {span(most * interval)}</h2>
        <label class="slider">
          <span class="unseen">Moment that the charts tell of</span>
          <input
            type="range"
            min={0}
            max={Math.max(0, newest)}
            value={moment ?? newest}
            disabled={newest < 1}
            aria-valuetext={time === undefined ? 'none yet' : exactTime(new Date(time).toISOString())}
            onInput={event => {
              const chosen = Number(event.currentTarget.value);
              setMoment(chosen >= newest ? null : chosen);
            }}
          />
        </label>
        <span class="moment-time">{moment === null || time === undefined ? 'now' : clock(time)}</span>
      </div>
      <div class="grid charts">
        {CHARTS[role].map(chart => (
          <Chart key={chart.title} {...chart} history={history} moment={moment} onMoment={setMoment} />
        ))}
      </div>
    </section>
  );
}

function clock(at: number): string {
  return new Date(at).toLocaleTimeString();
}
