import { nearest } from '../../config/nearest.ts';
import { API_GROUP, API_VERSION, isKind, KINDS, type KindName, type Specs } from '../kinds/kinds.ts';
import type { SchemaCheck } from './check.ts';
import { lineOf } from './locate.ts';
import type { ParsedDocument } from './parse.ts';
import { FieldError, type Problem, printPath } from './problem.ts';

/** An object as its document declares it, right by its schema. */
export interface DeclaredDocument<K extends KindName = KindName> {
  readonly kind: K;
  readonly name: string;
  readonly generation: number | null;
  readonly spec: Specs[K];
}

/** A document, and what is wrong with it. */
export interface Checked {
  readonly file: string;
  readonly line: number;
  readonly text: string;
  /** Who it is; null where that cannot be told, so that it may be anybody. */
  readonly id: { readonly kind: KindName; readonly name: string } | null;
  /** null where something is wrong. */
  readonly document: DeclaredDocument | null;
  readonly problems: readonly Problem[];
}

/** What every document has. */
interface Envelope {
  readonly apiVersion?: unknown;
  readonly kind?: unknown;
  readonly metadata?: { readonly name?: unknown; readonly generation?: number } | null;
  readonly spec?: unknown;
}

/** Reads one document by the schema of its kind. @param file only for messages */
export function checkDocument(
  file: string,
  parsed: ParsedDocument,
  checks: Readonly<Record<KindName, SchemaCheck>>,
): Checked {
  const { text, line, value, syntaxError } = parsed;
  const unreadable = (problem: Problem): Checked => ({
    file,
    line,
    text,
    id: null,
    document: null,
    problems: [problem],
  });
  if (syntaxError) {
    const why = `is not YAML: ${syntaxError.why}`;
    return unreadable({ file, line: line + syntaxError.line, object: null, path: '', why, fix: 'correct the YAML' });
  }
  const envelope = value as Envelope;
  const wrong = wrongKind(value);
  if (wrong) return unreadable(problemOf({ file, line, text, id: null }, wrong));
  const kind = envelope.kind as KindName;
  const errors = checks[kind](value);
  const { name } = envelope.metadata ?? {};
  const id = typeof name === 'string' ? { kind, name } : null;
  const problems = errors.map(error => problemOf({ file, line, text, id }, error));
  if (id === null || problems.length > 0) return { file, line, text, id, document: null, problems };
  const document = { ...id, generation: envelope.metadata?.generation ?? null, spec: envelope.spec as Specs[KindName] };
  return { file, line, text, id, document, problems };
}

/** Puts an error into its place. */
export function problemOf(checked: Pick<Checked, 'file' | 'line' | 'text' | 'id'>, error: FieldError): Problem {
  const { file, line, text, id } = checked;
  const object = id && `${id.kind}/${id.name}`;
  const place = line + lineOf(text, error.path);
  return { file, line: place, object, path: printPath(error.path), why: error.message, fix: error.fix };
}

function wrongKind(value: unknown): FieldError | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return new FieldError([], 'is not an object', 'write apiVersion, kind, metadata and spec');
  }
  const { apiVersion, kind } = value as Envelope;
  const expected = `${API_GROUP}/${API_VERSION}`;
  if (apiVersion !== expected) {
    return new FieldError(
      ['apiVersion'],
      apiVersion === undefined ? 'is missing' : 'is another one',
      `write ${expected}`,
    );
  }
  if (isKind(kind)) return null;
  const meant = typeof kind === 'string' ? nearest(kind, KINDS) : undefined;
  const fix = meant === undefined ? `write one of ${KINDS.join(', ')}` : `write ${meant}`;
  return new FieldError(['kind'], kind === undefined ? 'is missing' : 'is no kind that there is', fix);
}
