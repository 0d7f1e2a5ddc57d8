import { Compile } from 'typebox/compile';
import { nearest } from '../../config/problem.ts';
import { isKind, KINDS, type KindName } from '../kinds/kinds.ts';
import { API_GROUP, API_VERSION, documentSchema, type Schema } from '../kinds/schema.ts';
import { FieldError, type Problem, printPath } from '../problem.ts';
import { lineOf, type ParsedDocument } from './yaml.ts';

/** A document, and what is wrong with it. */
export interface CheckedDocument {
  readonly file: string;
  readonly line: number;
  readonly text: string;
  /** Names what it declares; null where that cannot be told, so that it may be anything. */
  readonly id: { readonly kind: KindName; readonly name: string } | null;
  /** What it declares, right by its schema; null where something is wrong. */
  readonly content: { readonly generation: number | null; readonly spec: unknown } | null;
  readonly problems: readonly Problem[];
}

/** The fields that every document has. */
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
): CheckedDocument {
  const { text, line, value, syntaxError } = parsed;
  const unreadable = (problem: Problem): CheckedDocument => ({
    file,
    line,
    text,
    id: null,
    content: null,
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
  if (id === null || problems.length > 0) return { file, line, text, id, content: null, problems };
  const content = { generation: envelope.metadata?.generation ?? null, spec: envelope.spec };
  return { file, line, text, id, content, problems };
}

/** Puts an error into its place. */
export function problemOf(checked: Pick<CheckedDocument, 'file' | 'line' | 'text' | 'id'>, error: FieldError): Problem {
  const { file, line, text, id } = checked;
  const object = id && `${id.kind}/${id.name}`;
  const place = line + lineOf(text, error.path);
  return { file, line: place, object, path: printPath(error.path), why: error.message, fix: error.fix };
}

/** Checks documents of one kind by its schema. @returns everything that is wrong */
export type SchemaCheck = (value: unknown) => FieldError[];

/** Made for all kinds at once, since compiling them takes some milliseconds. */
export function createSchemaChecks(): Readonly<Record<KindName, SchemaCheck>> {
  const checks = KINDS.map(kind => [kind, createCheck(documentSchema(kind))] as const);
  return Object.fromEntries(checks) as Record<KindName, SchemaCheck>;
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

interface SchemaError {
  readonly keyword: string;
  readonly instancePath: string;
  readonly schemaPath: string;
  readonly params: {
    readonly additionalProperties?: readonly string[];
    readonly requiredProperties?: readonly string[];
  };
}

function createCheck(schema: Schema): SchemaCheck {
  const validator = Compile(schema);
  return value => {
    if (validator.Check(value)) return [];
    const errors = validator.Errors(value) as unknown as SchemaError[];
    // One problem tells what all alternatives lack.
    const found = errors.filter(isNotOfAlternative).flatMap(error => describe(schema, error));
    return found.length > 0 ? unique(found) : [new FieldError([], 'is not right', 'compare it with its schema')];
  };
}

function isNotOfAlternative({ schemaPath }: SchemaError): boolean {
  return !schemaPath.includes('/oneOf/');
}

/** A value of the wrong type breaks other rules too; one problem a place is enough. */
function unique(errors: readonly FieldError[]): FieldError[] {
  const byPlace = new Map<string, FieldError>();
  for (const error of errors) {
    const place = JSON.stringify(error.path);
    if (!byPlace.has(place)) byPlace.set(place, error);
  }
  return [...byPlace.values()];
}

function describe(schema: Schema, { keyword, instancePath, params }: SchemaError): FieldError[] {
  const path = pathOf(schema, instancePath);
  const at = schemaAt(schema, path);
  const known = Object.keys(at?.properties ?? {});
  const write = `write ${at?.expected ?? 'what the schema says'}`;
  switch (keyword) {
    case 'boolean':
      // Told of as additionalProperties, with all names.
      return [];
    case 'additionalProperties':
      return (params.additionalProperties ?? []).map(name => unknownField([...path, name], name, known));
    case 'required':
      return (params.requiredProperties ?? []).map(name => {
        const expected = at?.properties?.[name]?.expected ?? 'it';
        return new FieldError([...path, name], 'is missing', `write ${expected}`);
      });
    case 'oneOf': {
      const names = ruleNames(at);
      return [new FieldError(path, `has none or several of ${names}`, `write exactly one of ${names}`)];
    }
    case 'type':
      return [new FieldError(path, 'is of the wrong type', write)];
    case 'minItems':
      return [new FieldError(path, 'has too few entries', 'add one, or leave the field out')];
    case 'maxItems':
      return [new FieldError(path, 'has too many entries', 'use several documents')];
    case 'maxLength':
      return [new FieldError(path, 'is too long', write)];
    default:
      return [new FieldError(path, 'is not what is allowed here', write)];
  }
}

function unknownField(path: readonly (string | number)[], name: string, known: readonly string[]): FieldError {
  const meant = nearest(name, known);
  const fix = meant === undefined ? `remove it; known are ${known.join(', ')}` : `write ${meant}, or remove it`;
  return new FieldError(path, 'does not exist', fix);
}

function ruleNames(schema: Schema | undefined): string {
  const rules = (schema?.['oneOf'] ?? []) as readonly { readonly required: readonly string[] }[];
  return rules.flatMap(({ required }) => required).join(' and ');
}

/** JSON Pointer (RFC 6901); which steps are positions, the schema tells. */
function pathOf(schema: Schema, pointer: string): (string | number)[] {
  let at: Schema | undefined = schema;
  return pointer
    .split('/')
    .slice(1)
    .map(step => {
      const isPosition: boolean = at?.items !== undefined;
      const name = step.replaceAll('~1', '/').replaceAll('~0', '~');
      at = isPosition ? at?.items : (at?.properties?.[name] ?? (at?.additionalProperties || undefined));
      return isPosition ? Number(name) : name;
    });
}

function schemaAt(schema: Schema, path: readonly (string | number)[]): Schema | undefined {
  let at: Schema | undefined = schema;
  for (const step of path) {
    at = typeof step === 'number' ? at?.items : (at?.properties?.[step] ?? (at?.additionalProperties || undefined));
  }
  return at;
}
