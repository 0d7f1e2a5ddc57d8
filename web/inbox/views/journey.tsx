import type { Details } from '../../../src/inbox/contract.ts';
import { exactTime, span } from '../../shared/format.ts';

/** What happened to the message, with the time from one thing to the next. */
export function Journey({ details: { timeline, pending } }: { readonly details: Details }) {
  return (
    <>
      <ol class="journey">
        {timeline.map(({ at, stage, title, detail, tone }, index) => {
          const before = timeline[index - 1];
          const passed = before ? Date.parse(at) - Date.parse(before.at) : 0;
          return (
            <li key={index} class={tone}>
              <time dateTime={at}>{exactTime(at)}</time>
              <span class="passed">{passed > 0 ? `+${span(passed)}` : ''}</span>
              <div>
                <strong>{title}</strong>
                <span class="stage">{stage}</span>
                {detail && <p>{detail}</p>}
              </div>
            </li>
          );
        })}
      </ol>
      {pending.length > 0 && (
        <section class="pending">
          <h2>Still to come</h2>
          <ul>
            {pending.map(line => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        </section>
      )}
    </>
  );
}
