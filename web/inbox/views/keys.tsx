import { useEffect, useState } from 'preact/hooks';
import type { Details } from '../../../src/inbox/contract.ts';
import type { Key, KeyVerdict, Verdicts } from '../../../src/inbox/keys-contract.ts';
import { ask } from '../../shared/api.ts';

/** Whether the message would be accepted with another key, and if not, why. */
export function Keys({ id, details }: { readonly id: string; readonly details: Details }) {
  const [keys, setKeys] = useState<readonly Key[]>([]);
  const [chosen, choose] = useState('');
  const [found, setFound] = useState<Verdicts | null>(null);
  const [error, setError] = useState<string | null>(null);

  useEffect(() => {
    void ask<Key[]>('/api/keys').then(setKeys, () => {});
  }, []);
  useEffect(() => {
    const ended = new AbortController();
    setFound(null);
    setError(null);
    const query = chosen === '' ? '' : `?${new URLSearchParams({ key: chosen })}`;
    ask<Verdicts>(`/api/messages/${id}/keys${query}`, { signal: ended.signal }).then(
      setFound,
      problem => ended.signal.aborted || setError(problem.message),
    );
    return () => ended.abort();
  }, [id, chosen]);

  return (
    <div class="keys">
      <div class="keys-bar">
        <label>
          Sent again now with{' '}
          <select value={chosen} onChange={event => choose(event.currentTarget.value)}>
            <option value="">any key</option>
            {keys.map(key => (
              <option key={key.id} value={key.id}>
                {key.name}
                {key.owner === null ? '' : ` (${key.owner})`}
              </option>
            ))}
          </select>
        </label>
        <span class="soft">it would be answered so. Nothing is sent or stored.</span>
      </div>
      {error !== null && <p class="nothing bad">{error}</p>}
      {error === null && found === null && <p class="nothing">Trying …</p>}
      {found !== null && (
        <ul class="verdicts">
          {found.verdicts.map(verdict => (
            <Verdict key={verdict.key.id} verdict={verdict} isSender={verdict.key.id === details.keyId} />
          ))}
        </ul>
      )}
      {found !== null && found.left > 0 && <p class="nothing">{found.left} more were not tried: choose one above.</p>}
    </div>
  );
}

function Verdict({ verdict, isSender }: { readonly verdict: KeyVerdict; readonly isSender: boolean }) {
  const { key, accepted, refusals } = verdict;
  const [tone, word] = !accepted
    ? ['bad', 'refused']
    : refusals.length > 0
      ? ['wait', 'in part']
      : ['good', 'accepted'];
  const isLater = !accepted && refusals.every(({ reply }) => reply.startsWith('4'));
  return (
    <li>
      <p class="verdict-head">
        <span class={`badge ${isLater ? 'wait' : tone}`}>{isLater ? 'later' : word}</span>
        <strong>{key.name}</strong>
        {isSender && <span class="badge accent">sent it</span>}
        {key.sandbox && <span class="badge">sandbox</span>}
        {key.blocked && <span class="badge bad">blocked</span>}
        <span class="soft">
          {key.owner ?? 'no owner'}, {key.domain === null ? 'any domain' : key.domain}
        </span>
      </p>
      {refusals.map(({ step, recipient, reply, why, change }, index) => (
        <div class="verdict-why" key={index}>
          <code>{reply}</code>
          <p>
            At {step}
            {recipient === null ? '' : ` of ${recipient}`}: {why} {change}
          </p>
        </div>
      ))}
    </li>
  );
}
