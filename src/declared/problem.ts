/** Something that is wrong with a document. No field carries a value of it: what is in the wrong place may be a secret. */
export interface Problem {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  /** `SmtpCredential/billing`; null where that cannot be told. */
  readonly object: string | null;
  /** Where in the document: `spec.events[0]`; empty for all of it. */
  readonly path: string;
  /** What is wrong, as a phrase that follows the path. */
  readonly why: string;
  /** What to do about it, as a sentence without its full stop. */
  readonly fix: string;
}

/** Why an object cannot be what its document says, by the path in the document. */
export class FieldError extends Error {
  override readonly name = 'FieldError';
  readonly path: readonly (string | number)[];
  readonly fix: string;
  readonly reason: 'Invalid' | 'FileUnreadable';

  constructor(path: readonly (string | number)[], why: string, fix: string, reason: FieldError['reason'] = 'Invalid') {
    super(why);
    this.path = path;
    this.fix = fix;
    this.reason = reason;
  }
}

/** A path as people write it. */
export function printPath(path: readonly (string | number)[]): string {
  return path
    .map(step => (typeof step === 'number' ? `[${step}]` : `.${step}`))
    .join('')
    .replace(/^\./, '');
}

/** One line, as compilers print theirs, so that editors and pipelines find the place. */
export function printProblem({ file, line, object, path, why, fix }: Problem): string {
  const place = [object, path].filter(part => part !== null && part !== '').join(' ');
  return `${file}:${line}: ${place === '' ? '' : `${place}: `}${why}. To mend it: ${fix}.`;
}
