import type { ComponentChildren } from 'preact';
import type { Tally } from '../../src/http/operator/contract.ts';
import { span } from '../shared/format.ts';

/** A name, and what is to be said of it; the tone colours that. */
export type Row = readonly [name: string, value: string, tone?: string];

export function Card({ title, children }: { readonly title: string; readonly children: ComponentChildren }) {
  return (
    <article class="card">
      <h3>{title}</h3>
      {children}
    </article>
  );
}

/** A table of names and what is to be said of them. */
export function Lines({ rows }: { readonly rows: readonly Row[] }) {
  return (
    <dl class="lines">
      {rows.map(([name, value, tone]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd class={tone ?? ''}>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Counts({ tally }: { readonly tally: Pick<Tally, 'rows'> }) {
  const all = tally.rows.filter(({ count }) => count > 0);
  if (all.length === 0) return <p class="soft">None in the last minutes.</p>;
  const most = Math.max(...all.map(({ count }) => count));
  return (
    <ul class="counts">
      {all.map(({ what, count, tone }) => (
        <li key={what}>
          <span class="what">{what}</span> <b>{count.toLocaleString()}</b>
          <Bar share={count / most} tone={tone} />
        </li>
      ))}
    </ul>
  );
}

/** Says again what stands beside it. */
export function Bar({ share, tone }: { readonly share: number; readonly tone: string }) {
  return (
    <svg class={`share ${tone}`} viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true" focusable="false">
      <rect class="all" width="100" height="1" />
      <rect width={(100 * Math.min(1, share)).toFixed(1)} height="1" />
    </svg>
  );
}

/** For how long something has been so. */
export function ago(iso: string): string {
  return span(Math.max(0, Date.now() - Date.parse(iso)));
}
