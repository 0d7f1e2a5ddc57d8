import { readFile } from 'node:fs/promises';
import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml';
import { configSchema } from './config-schema.ts';
import { chartPath } from './paths.ts';

export type Schema = { [keyword: string]: unknown };

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
  // Parent charts pass on their condition (`smtp-relay.enabled`), and whatever they like in `global`.
  properties['enabled'] = { type: 'boolean', description: 'Whether a parent chart has this one.' };
  properties['global'] = { ...(properties['global'] as Schema), additionalProperties: true };
  const schema = { $schema: 'http://json-schema.org/draft-07/schema#', title: 'Values', ...root, $defs: definitions() };
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

function definitions(): Schema {
  const whole = (minimum: number) => ({ type: 'integer', minimum });
  const free = { type: 'object' };
  return {
    config: configSchema(),
    resources: {
      type: 'object',
      properties: { requests: free, limits: free, claims: { type: 'array' } },
      additionalProperties: false,
    },
    probe: {
      type: 'object',
      properties: {
        enabled: { type: 'boolean' },
        initialDelaySeconds: whole(0),
        periodSeconds: whole(1),
        timeoutSeconds: whole(1),
        failureThreshold: whole(1),
        successThreshold: whole(1),
        terminationGracePeriodSeconds: whole(1),
      },
      required: ['enabled'],
      additionalProperties: false,
    },
    servicePort: {
      type: 'object',
      properties: {
        enabled: { type: 'boolean' },
        port: { type: 'integer', minimum: 1, maximum: 65535 },
        target: { enum: ['smtp', 'smtps', 'legacy'] },
        nodePort: { type: ['integer', 'null'], minimum: 1, maximum: 65535 },
        appProtocol: { type: 'string' },
      },
      required: ['enabled', 'port', 'target'],
      additionalProperties: false,
    },
    declaredResource: {
      type: 'object',
      properties: {
        apiVersion: { type: 'string', pattern: '^relay\\.opensend\\.dev/' },
        kind: { enum: ['Route', 'SendingDomain', 'SmtpCredential', 'SuppressionList', 'WebhookEndpoint'] },
        metadata: {
          type: 'object',
          properties: { name: { type: 'string', pattern: '^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$' } },
          required: ['name'],
        },
        spec: free,
      },
      required: ['apiVersion', 'kind', 'metadata', 'spec'],
      additionalProperties: false,
    },
    kubernetes: {
      strategy: {
        type: 'object',
        properties: { type: { enum: ['RollingUpdate', 'Recreate'] }, rollingUpdate: { type: ['object', 'null'] } },
        additionalProperties: false,
      },
      podSecurityContext: free,
      securityContext: free,
    },
  };
}
