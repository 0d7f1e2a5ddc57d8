import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { routes as routesFormat } from '../../src/config/formats/routes.ts';
import { KINDS } from '../../src/declared/kinds/kinds.ts';
import { documentSchema, publishedSchema, renderSchemas, type Schema } from '../../src/declared/kinds/schema.ts';

/**
 * The rules of a structural schema, and of what else Kubernetes refuses in a CustomResourceDefinition:
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
 */
const ALLOWED = new Set([
  'type',
  'properties',
  'required',
  'items',
  'additionalProperties',
  'enum',
  'pattern',
  'description',
  'format',
  'default',
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'oneOf',
  'anyOf',
  'allOf',
  'not',
  'nullable',
]);
const TYPES = new Set(['object', 'array', 'string', 'integer', 'number', 'boolean']);
const OF_VALUES = new Set(['required', 'enum', 'pattern', 'minimum', 'maximum', 'properties', 'items']);

function objections(schema: Schema, path: string): string[] {
  const found = Object.keys(schema).flatMap(key => (ALLOWED.has(key) ? [] : [`${path} has ${key}`]));
  if (!TYPES.has(String(schema['type']))) found.push(`${path} has no type`);
  const { properties, items, additionalProperties } = schema;
  if (additionalProperties !== undefined && properties) found.push(`${path} has properties and additionalProperties`);
  if (additionalProperties === false) found.push(`${path} has additionalProperties: false`);
  if (schema['type'] === 'array' && !items) found.push(`${path} has no items`);
  // Go's RE2 has no look-around and no back-references.
  if (/\(\?|\\[1-9]/.test(String(schema['pattern'] ?? ''))) found.push(`${path} has a pattern that RE2 does not know`);
  for (const rule of ['oneOf', 'anyOf', 'allOf'] as const) {
    for (const part of (schema[rule] ?? []) as Schema[]) {
      found.push(...Object.keys(part).flatMap(key => (OF_VALUES.has(key) ? [] : [`${path}.${rule} has ${key}`])));
      const unknown = ((part['required'] ?? []) as string[]).filter(name => !properties?.[name]);
      found.push(...unknown.map(name => `${path}.${rule} names ${name}`));
    }
  }
  for (const [name, child] of Object.entries(properties ?? {})) found.push(...objections(child, `${path}.${name}`));
  if (items) found.push(...objections(items, `${path}[]`));
  if (additionalProperties) found.push(...objections(additionalProperties, `${path}{}`));
  return found;
}

describe('published schemas', () => {
  for (const kind of KINDS) {
    it(`${kind} is structural`, () => {
      const schema = publishedSchema(kind);
      assert.deepEqual(objections(schema, kind), []);
      // Of the metadata, Kubernetes allows rules for the name, and nothing else, not even a description.
      const { type, properties, ...rest } = schema.properties?.['metadata'] ?? {};
      assert.deepEqual([type, Object.keys(properties ?? {}), rest], ['object', ['name'], {}]);
      assert.ok(Object.keys(schema.properties?.['spec']?.properties ?? {}).length >= 3);
    });

    it(`${kind} says of every field what it is`, () => {
      const bare: string[] = [];
      const look = (schema: Schema, path: string): void => {
        if (!schema['description'] && path !== `${kind}.metadata`) bare.push(path);
        for (const [name, child] of Object.entries(schema.properties ?? {})) look(child, `${path}.${name}`);
      };
      look(publishedSchema(kind), kind);
      assert.deepEqual(bare, []);
    });
  }

  it('are as docs/schemas has them', async () => {
    for (const { name, content } of renderSchemas()) {
      assert.equal(await readFile(new URL(`../../docs/schemas/${name}`, import.meta.url), 'utf8'), content, name);
    }
  });

  it('objections are found', () => {
    const bad = {
      type: 'object',
      properties: { a: { $ref: '#/x' }, b: { type: 'array' }, c: { type: 'string', pattern: '(?!x)' } },
      additionalProperties: { type: 'string' },
      oneOf: [{ required: ['z'] }, { type: 'object' }],
    } as unknown as Schema;
    assert.equal(objections(bad, 'x').length, 7);
  });
});

describe('the schema that documents are checked by', () => {
  it('differs in being closed', () => {
    const spec = documentSchema('SendingDomain').properties?.['spec'];
    assert.equal(spec?.additionalProperties, false);
    assert.equal(spec?.properties?.['tracking']?.additionalProperties, false);
  });

  it('of a Route has no field that the setting `routes` does not know', () => {
    const sample: Record<string, unknown> = {
      region: 'us-east-1',
      roleArn: 'arn:aws:iam::123456789012:role/x',
      configurationSet: 'x',
      endpoint: 'https://x.test',
      sendRate: 1,
      host: 'x.test',
      port: 25,
      security: 'none',
      user: 'u',
      passwordFile: 'p',
      connections: 1,
      timeout: '1s',
      caPath: '/x',
      directory: 'x',
    };
    const groups = documentSchema('Route').properties?.['spec']?.properties ?? {};
    for (const transport of ['ses', 'smtp', 'capture']) {
      const fields = Object.keys(groups[transport]?.properties ?? {});
      const settings = Object.fromEntries(fields.map(name => [name, sample[name]]));
      const [parsed] = routesFormat.parse(JSON.stringify([{ domains: ['a.test'], transport, [transport]: settings }]));
      assert.deepEqual(Object.keys(parsed?.[transport as 'ses'] ?? {}).sort(), fields.sort());
    }
  });
});
