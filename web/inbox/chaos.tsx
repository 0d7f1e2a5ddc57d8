import { useCallback, useEffect, useState } from 'preact/hooks';
import type { SandboxKey, SetChaos } from '../../src/inbox/keys-contract.ts';
import { ask } from '../shared/api.ts';
import { fullTime } from '../shared/format.ts';

type Reply = NonNullable<SetChaos['chaos']['replies']>[number];

const STAGES: readonly (readonly [stage: Reply['stage'], title: string])[] = [
  ['connect', 'at connect'],
  ['AUTH', 'to AUTH'],
  ['MAIL', 'to MAIL'],
  ['RCPT', 'to RCPT'],
  ['DATA', 'to DATA'],
  ['message', 'after the dot'],
];
const CODES: readonly Reply['code'][] = [421, 450, 451, 550];
const PERIODS: readonly (readonly [seconds: number, title: string])[] = [
  [900, '15 minutes'],
  [3_600, 'an hour'],
  [14_400, '4 hours'],
  [86_400, 'a day'],
  [0, 'until I end it'],
];

/** What goes wrong on purpose for keys in sandbox: set it, see it, end it. */
export function Chaos({ say }: { readonly say: (text: string) => void }) {
  const [keys, setKeys] = useState<readonly SandboxKey[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const load = useCallback(
    () => ask<SandboxKey[]>('/api/chaos').then(setKeys, error => setProblem((error as Error).message)),
    [],
  );
  useEffect(() => {
    void load();
    const timer = setInterval(() => document.hidden || void load(), 10_000);
    return () => clearInterval(timer);
  }, [load]);

  async function put(key: SandboxKey, wanted: SetChaos | null) {
    try {
      const how = wanted === null ? { method: 'DELETE' } : { method: 'PUT', json: wanted };
      await ask(`/api/chaos/${key.id}`, how);
      say(wanted === null ? `Nothing goes wrong for ${key.name} any more` : `Set for ${key.name}: within 10 seconds`);
      await load();
    } catch (error) {
      say((error as Error).message);
    }
  }

  return (
    <div class="page">
      <h1>Chaos</h1>
      <p class="soft">
        Lets things go wrong on purpose, as they do in production now and then. Only keys in sandbox have any: their
        mail goes to nobody.
      </p>
      {problem !== null && <p class="bad">{problem}</p>}
      {keys?.length === 0 && (
        <p class="nothing">
          No key is in sandbox. Make one: <code>smtp-relay keys create --sandbox</code>, or put one there:{' '}
          <code>smtp-relay keys set --sandbox</code>.
        </p>
      )}
      {keys?.map(key => (
        <section class="card" key={key.id} aria-labelledby={`chaos-${key.id}`}>
          <h2 id={`chaos-${key.id}`}>
            {key.name} {key.owner && <span class="soft">{key.owner}</span>}
          </h2>
          <State of={key} onEnd={() => void put(key, null)} />
          {key.declaredBy === null ? (
            <Form of={key} onSet={wanted => void put(key, wanted)} />
          ) : (
            <p class="soft">The document {key.declaredBy} declares it, and says what goes wrong.</p>
          )}
        </section>
      ))}
    </div>
  );
}

function State({ of: { says, until, declaredBy }, onEnd }: { readonly of: SandboxKey; readonly onEnd: () => void }) {
  if (says.length === 0) return <p>Nothing goes wrong on purpose.</p>;
  return (
    <div class="chaos-on">
      <ul>
        {says.map(line => (
          <li key={line}>{line}</li>
        ))}
      </ul>
      <p>{until === null ? 'Until somebody ends it.' : `Ends by itself at ${fullTime(until)}.`}</p>
      {declaredBy === null && (
        <button type="button" class="danger" onClick={onEnd}>
          End it
        </button>
      )}
    </div>
  );
}

interface FormProps {
  readonly of: SandboxKey;
  readonly onSet: (wanted: SetChaos) => void;
}

function Form({ of: { id, name, chaos }, onSet }: FormProps) {
  const [replies, setReplies] = useState<readonly Reply[]>(
    chaos?.replies ?? [{ stage: 'MAIL', code: 451, percent: 20 }],
  );
  const change = (at: number, part: Partial<Reply>) =>
    setReplies(replies.map((reply, index) => (index === at ? { ...reply, ...part } : reply)));

  function submit(event: SubmitEvent) {
    event.preventDefault();
    const data = new FormData(event.currentTarget as HTMLFormElement);
    const number = (field: string): number => Number(data.get(field) || 0);
    const wanted: SetChaos['chaos'] = {
      ...(replies.length > 0 && { replies: [...replies] }),
      ...(number('slow') && { slowSeconds: number('slow') }),
      ...(number('rate') && { messagesPerMinute: number('rate') }),
      ...(number('cut') && { cutPercent: number('cut') }),
      ...(number('late') && { late: { seconds: number('late'), percent: number('latePercent') || 100 } }),
    };
    onSet({ chaos: wanted, ...(number('period') && { seconds: number('period') }) });
  }

  const input = (field: string, label: string, most: number, value: number | undefined) => (
    <label>
      {label}
      <input type="number" name={field} min={1} max={most} defaultValue={value === undefined ? '' : String(value)} />
    </label>
  );
  return (
    <form class="chaos" onSubmit={submit} aria-label={`What goes wrong for ${name}`}>
      <fieldset>
        <legend>Refuse</legend>
        {replies.map(({ stage, code, percent }, index) => (
          <div class="chaos-reply" key={index}>
            <input
              type="number"
              aria-label="Percent"
              min={1}
              max={100}
              required
              value={percent}
              onInput={event => change(index, { percent: event.currentTarget.valueAsNumber || 1 })}
            />
            <span>% with</span>
            <select
              aria-label="Reply"
              value={code}
              onChange={event => change(index, { code: Number(event.currentTarget.value) as Reply['code'] })}
            >
              {CODES.map(each => (
                <option key={each}>{each}</option>
              ))}
            </select>
            <select
              aria-label="Stage"
              value={stage}
              onChange={event => change(index, { stage: event.currentTarget.value as Reply['stage'] })}
            >
              {STAGES.map(([value, title]) => (
                <option key={value} value={value}>
                  {title}
                </option>
              ))}
            </select>
            <button
              type="button"
              class="quiet"
              aria-label={`Leave out ${code} ${stage}`}
              onClick={() => setReplies(replies.filter((_, at) => at !== index))}
            >
              ×
            </button>
          </div>
        ))}
        <button
          type="button"
          onClick={() => setReplies([...replies, { stage: 'message', code: 550, percent: 5 }])}
          disabled={replies.length >= 20}
        >
          Add a refusal
        </button>
      </fieldset>
      <div class="chaos-fields">
        {input('slow', 'Each reply takes (s)', 600, chaos?.slowSeconds)}
        {input('rate', 'Messages a minute', 999_999_999, chaos?.messagesPerMinute)}
        {input('cut', 'Cut in the middle of DATA (%)', 100, chaos?.cutPercent)}
        {input('late', '250 comes late by (s)', 1_800, chaos?.late?.seconds)}
        {input('latePercent', 'for so many of them (%)', 100, chaos?.late?.percent)}
        <label>
          For
          <select name="period" defaultValue="3600" id={`period-${id}`}>
            {PERIODS.map(([seconds, title]) => (
              <option key={seconds} value={seconds} selected={seconds === 3_600}>
                {title}
              </option>
            ))}
          </select>
        </label>
      </div>
      <button type="submit" class="primary">
        Set
      </button>
    </form>
  );
}
