import { span } from './format.ts';

export interface TranscriptLine {
  /** Milliseconds from the beginning of the session. */
  readonly at: number;
  readonly by: string;
  readonly text: string;
}

const SPEAKERS: Readonly<Record<string, readonly [name: string, kind: string]>> = {
  C: ['client', 'client'],
  S: ['relay', 'relay'],
  '-': ['', 'remark'],
};

/** What client and relay said to each other, with the time of each line. */
export function Transcript({ lines }: { readonly lines: readonly TranscriptLine[] }) {
  return (
    <table class="said" aria-label="Transcript">
      <thead class="unseen">
        <tr>
          <th>Time</th>
          <th>Who</th>
          <th>Line</th>
        </tr>
      </thead>
      <tbody>
        {lines.map(({ at, by, text }, index) => {
          const [name, kind] = SPEAKERS[by] ?? ['', 'remark'];
          const isBad = kind === 'relay' && /^[45]\d\d/.test(text);
          return (
            <tr key={index} class={isBad ? 'refused' : kind}>
              <td class="at">{span(at)}</td>
              <td class="who">{name}</td>
              <td class="line">{text}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
