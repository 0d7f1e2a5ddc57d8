import type { Overview } from '../../src/http/operator/contract.ts';
import { Icon } from '../shared/icon.tsx';

/** What is wrong, each with what to do about it; or that nothing is. */
export function Problems({ overview, isLost }: { readonly overview: Overview; readonly isLost: boolean }) {
  const { problems, sample } = overview;
  const time = new Date(sample.at).toLocaleTimeString();
  return (
    <section aria-label="Problems" aria-live="polite">
      {isLost && (
        <p class="problem wait">
          <Icon name="clock" />
          <span>
            <b>This process does not answer.</b> What is shown is of {time}.
          </span>
        </p>
      )}
      {problems.length === 0 ? (
        <p class="problem good">
          <Icon name="check" />
          <b>{isLost ? 'All was well then.' : 'All is well.'}</b>
        </p>
      ) : (
        <ul class="problems">
          {problems.map(({ severity, title, detail, url }) => (
            <li key={title} class={`problem ${severity}`}>
              <Icon name="alert" />
              <span class="what">
                <b>{title}</b> <span>{detail}</span>
              </span>
              <a href={url} target="_blank" rel="noreferrer">
                What to do<span class="unseen"> about: {title} (opens the guide in a new tab)</span>
              </a>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
