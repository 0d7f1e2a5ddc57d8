import Type, { type TSchema } from 'typebox';
import { count, group, list, oneOf, text } from './fields.ts';
import { KINDS, type KindName, kinds } from './kinds.ts';

export const API_GROUP = 'relay.opensend.dev';
export const API_VERSION = 'v1alpha1';

/** A JSON Schema, as far as this room makes use of it. */
export interface Schema {
  readonly [keyword: string]: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: Schema | false;
  readonly expected?: string;
}

/** As documents are checked: nothing may be in them that the schema does not name. */
export function documentSchema(kind: KindName): Schema {
  return closed(objectOf(kind, metadata) as Schema);
}

/** As it is published: structural, and without what means something here only. */
export function publishedSchema(kind: KindName): Schema {
  return published(objectOf(kind, publishedMetadata) as Schema);
}

export interface SchemaFile {
  /** As kubeconform looks for it: `smtpcredential_v1alpha1.json`. */
  readonly name: string;
  readonly content: string;
}

/** The published schemas of all kinds. */
export function renderSchemas(): SchemaFile[] {
  return KINDS.map(kind => {
    const name = `${kind.toLowerCase()}_${API_VERSION}.json`;
    return { name, content: `${JSON.stringify(publishedSchema(kind), null, 2)}\n` };
  });
}

/** As Kubernetes has it for objects whose names become parts of host names (RFC 1123). */
const objectName = text('a name of lower-case letters, digits, - and ., such as billing-server', {
  pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
  maxLength: 253,
  description: 'Names the object among those of its kind.',
});

/** Of the metadata, a structural schema may describe the name, and nothing else; Kubernetes knows the rest. */
const publishedMetadata = Type.Object({ name: Type.Optional(objectName) });

const texts = (description: string) =>
  Type.Unsafe<Record<string, string>>({
    type: 'object',
    additionalProperties: { type: 'string', expected: 'a text' },
    description,
    expected: 'a group of texts',
  });
const anyText = () => Type.Optional(Type.String({ expected: 'a text' }));

/** What Kubernetes writes into metadata is taken, so that documents read from a cluster are good; it means nothing here. */
const metadata = group(
  {
    name: objectName,
    namespace: anyText(),
    labels: Type.Optional(texts('Labels.')),
    annotations: Type.Optional(texts('Annotations.')),
    generation: Type.Optional(count(0, Number.MAX_SAFE_INTEGER, 'Counts the changes of the spec.')),
    uid: anyText(),
    resourceVersion: anyText(),
    creationTimestamp: anyText(),
  },
  'Who it is.',
);

const condition = group(
  {
    type: Type.String({ description: '`Ready`.' }),
    status: oneOf(['True', 'False', 'Unknown'], 'Whether it is so.'),
    reason: Type.Optional(Type.String({ description: 'Why, in one word.' })),
    message: Type.Optional(Type.String({ description: 'Why, for people.' })),
    lastTransitionTime: Type.Optional(Type.String({ format: 'date-time', description: 'Since when.' })),
    observedGeneration: Type.Optional(
      Type.Integer({ format: 'int64', description: 'Of which generation it is said.' }),
    ),
  },
  'Something that is so or not.',
);

const status = group(
  {
    observedGeneration: Type.Optional(
      Type.Integer({ format: 'int64', description: 'The generation that the rest is about.' }),
    ),
    conditions: Type.Optional(list(condition, { maxItems: 16 }, 'How it stands.')),
  },
  'How it stands. Written by the relay; in a document it counts for nothing.',
);

function objectOf(kind: KindName, meta: TSchema): TSchema {
  return Type.Object(
    {
      apiVersion: oneOf([`${API_GROUP}/${API_VERSION}`], 'The version of this schema.'),
      kind: oneOf([kind], 'What it is.'),
      metadata: meta,
      spec: kinds[kind].schema,
      status: Type.Optional(status),
    },
    { description: kinds[kind].schema.description ?? '', expected: 'a group of fields' },
  );
}

/** Kubernetes does not allow `additionalProperties: false`: it drops or refuses unknown fields by itself. */
function closed(schema: Schema): Schema {
  const inner = mapChildren(schema, closed);
  return schema.properties === undefined ? inner : { ...inner, additionalProperties: false };
}

function published(schema: Schema): Schema {
  const { expected: _, ...rest } = mapChildren(schema, published);
  return rest;
}

function mapChildren(schema: Schema, change: (child: Schema) => Schema): Schema {
  const { properties, items, additionalProperties } = schema;
  return {
    ...schema,
    ...(properties && {
      properties: Object.fromEntries(Object.entries(properties).map(([name, child]) => [name, change(child)])),
    }),
    ...(items && { items: change(items) }),
    ...(additionalProperties && { additionalProperties: change(additionalProperties) }),
  };
}
