import { readFile } from 'node:fs/promises';
import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml';
import { settings } from '../../src/config/schema.ts';
import { KINDS, type KindName } from '../../src/declared/kinds/kinds.ts';
import { documentSchema } from '../../src/declared/kinds/schema.ts';
import { chartPath } from './chart.ts';
import { movedSchema } from './moved-values.ts';
import { group, type Schema } from './schema-parts.ts';
import { definitions } from './values-definitions.ts';

/**
 * Makes values.schema.json from values.yaml: types from the defaults, descriptions and what `# @schema {…}` says from the
 * comments. Unknown values are refused everywhere but in `global`, which belongs to parent charts.
 *
 * @throws Error where a value has no comment, or no type
 */
export async function renderValuesSchema(): Promise<string> {
  const document = parseDocument(await readFile(chartPath('values.yaml'), 'utf8'));
  if (!isMap(document.contents)) throw new Error('values.yaml is no group');
  const root = groupSchema(document.contents, '');
  const properties = root['properties'] as Schema;
  // The template says what to set in its place, which the schema could not.
  properties['resources'] = {};
  // Parent charts pass on their condition (`smtp-relay.enabled`), and whatever they like in `global`.
  properties['enabled'] = { type: 'boolean', description: 'Whether a parent chart has this one.' };
  // What it leaves out is as in `service`, so it may say the same.
  const internal = properties['internalService'] as Schema;
  const shared = (properties['service'] as Schema)['properties'] as Schema;
  internal['properties'] = { ...shared, ...(internal['properties'] as Schema) };
  internal['additionalProperties'] = false;
  properties['global'] = { ...(properties['global'] as Schema), additionalProperties: true };
  const $defs = { config: configSchema(), ...definitions(), ...declaredDefinitions() };
  const schema = { $schema: 'http://json-schema.org/draft-07/schema#', title: 'Values', ...root, $defs };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

function groupSchema(group: YAMLMap, path: string): Schema {
  const properties: Schema = {};
  group.items.forEach((item, index) => {
    const pair = item as Pair;
    const name = String(isScalar(pair.key) ? pair.key.value : pair.key);
    // The comment of a group's first value is kept with the group.
    const own = isScalar(pair.key) ? pair.key.commentBefore : undefined;
    const comment = own ?? (index === 0 ? group.commentBefore : undefined) ?? '';
    properties[name] = valueSchema(pair, `${path}.${name}`, readComment(comment, `${path}.${name}`));
  });
  Object.assign(properties, movedSchema(path));
  return { type: 'object', properties, additionalProperties: false };
}

interface Comment {
  readonly description: string;
  readonly schema: Schema;
}

function readComment(comment: string, path: string): Comment {
  const lines = comment.split('\n').map(line => line.trim());
  const marked = lines.findLast(line => line.startsWith('@schema '));
  const start = lines.findLastIndex(line => line.startsWith('-- '));
  const description = start < 0 ? '' : lines.slice(start).join(' ').replace(/^-- /, '').trim();
  try {
    return { description, schema: marked ? JSON.parse(marked.slice('@schema '.length)) : {} };
  } catch (cause) {
    throw new Error(`values.yaml: the @schema of ${path} is no JSON`, { cause });
  }
}

function valueSchema({ value }: Pair, path: string, { description, schema }: Comment): Schema {
  const described = { ...(description && { description }), ...schema };
  if ('$ref' in schema) return described;
  if (isMap(value) && value.items.length > 0) {
    // A group whose own names are free (`additionalProperties`) is described as one.
    if ('additionalProperties' in schema && schema['additionalProperties'] !== true)
      return { type: 'object', ...described };
    if (isFree(value)) {
      if (!description) throw new Error(`values.yaml: ${path} has no comment`);
      return { type: 'object', ...described };
    }
    return { ...groupSchema(value, path), ...described };
  }
  if (!description) throw new Error(`values.yaml: ${path} has no comment`);
  if ('enum' in schema || 'type' in schema) return described;
  return { type: typeOf(value, path), ...described };
}

/** A default whose parts have no comments is an example of an object of Kubernetes, whose other fields are as good. */
function isFree(group: YAMLMap): boolean {
  const keys = group.items.map(({ key }) => (isScalar(key) ? key.commentBefore : undefined));
  return (
    !group.commentBefore &&
    keys.every(comment => !comment) &&
    !group.items.some(({ value }) => isMap(value) && !isFree(value))
  );
}

function typeOf(value: unknown, path: string): string {
  if (isMap(value)) return 'object';
  if (isScalar(value) && value.value !== null) {
    const type = typeof value.value;
    return type === 'number' ? 'integer' : type;
  }
  if (value !== null && typeof value === 'object' && 'items' in value) return 'array';
  throw new Error(`values.yaml: ${path} is empty, and has no @schema with a type`);
}

/** What the chart decides by values of its own, so that it cannot stand in `config`; templates/validate.yaml says by which. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  'databaseUrl',
  'migrationsDatabaseUrl',
  'migrations',
  'tls.certPath',
  'tls.keyPath',
  'database.password',
  'smtp.password',
  'tracking.secrets',
  'webhooks.secretKeys',
]);

/** The settings of the program as values of the chart: nested as in its files, each with what it may be. */
function configSchema(): Schema {
  const root = group({});
  for (const { name, format, doc } of settings) {
    const path = name.split('.');
    let properties = root['properties'] as Schema;
    for (const key of path.slice(0, -1)) {
      properties[key] ??= group({});
      properties = (properties[key] as Schema)['properties'] as Schema;
    }
    // The template says what to set in its place, which the schema could not.
    properties[path.at(-1) ?? name] = { description: doc, ...(ELSEWHERE.has(name) ? {} : format.schema) };
  }
  return root;
}

/** What `declared` of the values may hold: documents by the program's own schemas, so that a slip of the pen does not render. */
function declaredDefinitions(): Schema {
  return {
    declaredDocument: {
      type: ['object', 'null'],
      properties: { kind: { enum: KINDS } },
      required: ['kind', 'spec'],
      // One of several alternatives, chosen by its kind: the message is about that one alone.
      allOf: KINDS.map(kind => ({
        if: { properties: { kind: { const: kind } }, required: ['kind'] },
        // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
        then: { $ref: `#/$defs/declared${kind}` },
      })),
    },
    ...Object.fromEntries(KINDS.map(kind => [`declared${kind}`, declaredSchema(kind)])),
    declaredConfigMap: {
      type: 'object',
      properties: {
        name: { type: 'string', pattern: '^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$', maxLength: 253 },
        folder: { type: 'string', pattern: '^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$' },
        optional: { type: 'boolean' },
      },
      required: ['name'],
      additionalProperties: false,
    },
  };
}

/** The template fills in `apiVersion`, and from the document's name in the values `metadata.name`. */
function declaredSchema(kind: KindName): Schema {
  const schema = plain(documentSchema(kind)) as Schema;
  const properties = schema['properties'] as Record<string, Schema>;
  const { required: _, ...metadata } = properties['metadata'] as Schema;
  return { ...schema, type: ['object', 'null'], properties: { ...properties, metadata }, required: ['kind', 'spec'] };
}

/** Without what means something to the program only. */
function plain(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(plain);
  if (typeof schema !== 'object' || schema === null) return schema;
  const entries = Object.entries(schema).filter(([keyword]) => keyword !== 'expected');
  return Object.fromEntries(entries.map(([keyword, value]) => [keyword, plain(value)]));
}
