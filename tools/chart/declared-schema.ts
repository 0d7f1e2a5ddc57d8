import { documentSchema, KINDS, type KindName } from '../../src/declared/kinds/kinds.ts';
import type { Schema } from './values-schema.ts';

/** What `declared` of the values may hold: documents by the program's own schemas, so that a slip of the pen does not render. */
export function declaredDefinitions(): Schema {
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
    ...Object.fromEntries(KINDS.map(kind => [`declared${kind}`, valueSchema(kind)])),
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
function valueSchema(kind: KindName): Schema {
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
