import type { History, SeriesName } from '../../src/http/operator/contract.ts';

export type Tone = 'accent' | 'good' | 'wait' | 'bad' | 'soft';

export interface Line {
  readonly series: SeriesName;
  readonly label: string;
  readonly tone: Tone;
}

export interface ChartProps {
  readonly title: string;
  readonly lines: readonly Line[];
  readonly format: (value: number) => string;
  /** The least that the scale goes up to, so that next to nothing does not look like much. */
  readonly least: number;
  readonly history: History;
  /** The sample that is looked at; null: the newest. */
  readonly moment: number | null;
  readonly onMoment: (moment: number | null) => void;
  readonly note?: string;
}

const HEIGHT = 100;

/** Lines of the last minutes, with their values at the moment that is looked at. */
export function Chart({ title, lines, format, least, history, moment, onMoment, note }: ChartProps) {
  const { most, at } = history;
  const shown = lines.map(line => ({ ...line, values: history.series[line.series] ?? [] }));
  const top = roundUp(Math.max(least, ...shown.flatMap(({ values }) => values.map(value => value ?? 0))));
  /** Samples that are missing at the beginning. */
  const missing = most - at.length;
  const index = moment ?? at.length - 1;
  const x = (sample: number) => missing + sample;
  const y = (value: number) => HEIGHT - (HEIGHT * value) / top;

  function look(event: PointerEvent) {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const sample = Math.round(((event.clientX - box.left) / box.width) * (most - 1)) - missing;
    onMoment(sample >= 0 && sample < at.length ? sample : null);
  }

  return (
    <figure class="card chart">
      <figcaption>
        <h3>{title}</h3>
        <ul class="legend">
          {shown.map(({ series, label, tone, values }) => (
            <li key={series}>
              <span class={`swatch ${tone}`} /> {label} <b>{valueAt(values, index, format)}</b>
            </li>
          ))}
        </ul>
      </figcaption>
      <div class="plot">
        <span class="scale">{format(top)}</span>
        <svg
          viewBox={`0 0 ${most - 1} ${HEIGHT}`}
          preserveAspectRatio="none"
          aria-hidden="true"
          focusable="false"
          onPointerMove={look}
          onPointerLeave={() => onMoment(null)}
        >
          <path class="grid" d={`M0 ${HEIGHT / 2}H${most}M0 0H${most}M0 ${HEIGHT}H${most}`} />
          {shown.toReversed().map(({ series, tone, values }) => (
            <path key={series} class={`line ${tone}`} d={outline(values, x, y)} />
          ))}
          {moment !== null && <path class="moment" d={`M${x(moment)} 0V${HEIGHT}`} />}
        </svg>
      </div>
      {note && <p class="note">{note}</p>}
    </figure>
  );
}

function valueAt(values: readonly (number | null)[], index: number, format: (value: number) => string): string {
  const value = values[index];
  return value === null || value === undefined ? '–' : format(value);
}

/** Of an SVG path: with gaps where values are unknown, and a dot where one stands alone. */
function outline(values: readonly (number | null)[], x: (at: number) => number, y: (value: number) => number): string {
  let isDrawing = false;
  return values
    .map((value, at) => {
      const begins = !isDrawing;
      isDrawing = value !== null;
      return value === null ? '' : `${begins ? 'M' : 'L'}${x(at)} ${y(value).toFixed(1)}${begins ? 'h0' : ''}`;
    })
    .join('');
}

/** 1, 2 or 5, and zeros. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 5, 10].find(step => step * power >= value * 0.999) ?? 10);
}
