import { useEffect, useState } from 'preact/hooks';
import { ask } from '../../shared/api.ts';
import { bytes } from '../../shared/format.ts';

/** Characters that are shown; a browser takes long over megabytes in one block. */
const MOST = 500_000;

export interface TextProps {
  readonly path: string;
  readonly isSource?: boolean;
}

/** Text as it is. */
export function Text({ path, isSource = false }: TextProps) {
  const [text, setText] = useState<string | null>(null);
  const [error, setError] = useState<string | null>(null);
  useEffect(() => {
    const ended = new AbortController();
    ask<string>(path, { signal: ended.signal }).then(
      setText,
      problem => ended.signal.aborted || setError(problem.message),
    );
    return () => ended.abort();
  }, [path]);

  if (error !== null) return <p class="nothing bad">{error}</p>;
  if (text === null) return <p class="nothing">Loading …</p>;
  return (
    <>
      <pre class={isSource ? 'source' : 'plain'}>{text.slice(0, MOST)}</pre>
      {text.length > MOST && (
        <p class="nothing">
          {bytes(text.length - MOST)} more: <a href={path}>open all of it</a>
        </p>
      )}
    </>
  );
}
