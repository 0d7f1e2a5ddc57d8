/** One thing that is wrong with the configuration. No field carries a secret. */
export interface ConfigProblem {
  /** The setting, or the variable or file where no setting is concerned: `tls.certPath`, `SMTP_RELAY_CONFIG`. */
  readonly setting: string;
  /** Where it stands: `env:NAME`, `file:path:line`, `secret:path`, or `default`. */
  readonly source: string;
  /** What is wrong, as a sentence without its full stop. */
  readonly why: string;
  /** What to do about it, as a sentence without its full stop. */
  readonly fix: string;
}

/** The configuration cannot be used. Its message lists all problems, each with what to do. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
    const lines = problems.map(
      ({ setting, source, why, fix }) => `  - ${setting} (${source}): ${why}. To mend it: ${fix}.`,
    );
    super([`The configuration has ${count}:`, ...lines].join('\n'));
    this.problems = problems;
  }
}

const SHOWN_CHARACTERS = 80;

/** A text from outside, fit for one line of a message: in quotes, shortened, and without credentials of a URL. */
export function quote(text: string): string {
  const shown = hideCredentials(text);
  return JSON.stringify(shown.length > SHOWN_CHARACTERS ? `${shown.slice(0, SHOWN_CHARACTERS)}…` : shown);
}

/** Hides what stands before the `@` of a URL's host. Of what only looks like a URL, all before the last `@` is hidden. */
export function hideCredentials(text: string): string {
  if (!text.includes('@')) return text;
  const url = URL.parse(text);
  if (url?.host && url.username === '' && url.password === '') return text;
  return text.replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/is, '$1***@');
}
