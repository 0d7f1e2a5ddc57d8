import { Compile } from 'typebox/compile';
import { nearest } from '../../config/nearest.ts';
import { documentSchema, KINDS, type KindName, type Schema } from '../kinds/kinds.ts';
import { FieldError } from './problem.ts';

interface SchemaError {
  readonly keyword: string;
  readonly instancePath: string;
  readonly schemaPath: string;
  readonly params: {
    readonly additionalProperties?: readonly string[];
    readonly requiredProperties?: readonly string[];
  };
}

/** Checks documents of one kind by its schema. @returns everything that is wrong */
export type SchemaCheck = (value: unknown) => FieldError[];

/** Made for all kinds at once, since compiling them takes some milliseconds. */
export function createSchemaChecks(): Readonly<Record<KindName, SchemaCheck>> {
  const checks = KINDS.map(kind => [kind, createCheck(documentSchema(kind))] as const);
  return Object.fromEntries(checks) as Record<KindName, SchemaCheck>;
}

function createCheck(schema: Schema): SchemaCheck {
  const validator = Compile(schema);
  return value => {
    if (validator.Check(value)) return [];
    const errors = validator.Errors(value) as unknown as SchemaError[];
    // What each alternative lacks is said of all of them together.
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
