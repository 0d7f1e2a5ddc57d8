import { useEffect, useRef } from 'preact/hooks';

const ROWS = [
  [['j', '↓'], 'next message'],
  [['k', '↑'], 'previous message'],
  [['/'], 'search'],
  [['1', '…', '9'], 'HTML, text, journey, session, headers, parts, source, changes, keys'],
  [['Delete', '#'], 'delete the message'],
  [['Esc'], 'back to the list'],
  [['m', 'r', 'c'], 'messages, refused sessions, chaos'],
  [['?'], 'these keys'],
] as const;

const TERMS = [
  ['from:shop@demo.test', 'who it is from'],
  ['to:ada@example.com', 'one of To, Cc or Bcc; also cc: and bcc:'],
  ['subject:"your order"', 'words of the subject'],
  ['tag:campaign=spring', 'a tag, or its name alone'],
  ['status:bounced', 'where it stands'],
  ['has:attachment', 'with a file'],
  ['-to:ada@example.com', 'all but these'],
] as const;

export function Help({ onClose }: { readonly onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="help" onClose={onClose} aria-labelledby="help-title">
      <h2 id="help-title">Keys</h2>
      <dl>
        {ROWS.map(([keys, what]) => (
          <div key={what}>
            <dt>
              {keys.map(key => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <h2>Search</h2>
      <dl>
        {TERMS.map(([term, what]) => (
          <div key={term}>
            <dt>
              <code>{term}</code>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <p>
        There is an HTTP API too: <a href="/api/openapi.json">its OpenAPI document</a>.
      </p>
      <form method="dialog">
        <button type="submit" class="primary">
          Close
        </button>
      </form>
    </dialog>
  );
}
