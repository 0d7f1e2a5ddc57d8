import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { projectPath } from './chart.ts';
import { CRD_MODULES, customResourceFiles, moduleFolder } from './go-modules.ts';

/*
 * Makes the JSON Schemas that kubeconform checks manifests with, so that it fetches none from the web: of Kubernetes from the
 * OpenAPI file in its Go module, of all else from the CustomResourceDefinitions in theirs. Kept in the cache of tools until a
 * version changes.
 *
 *     node bin/node24.js tools/chart/schemas.ts      prints the folder of the schemas
 *
 * It has a folder for each minor of Kubernetes that the chart is for, from the oldest to the newest; .ci/chart renders for these.
 */

const KUBERNETES_MODULES = {
  '1.29.15': 'k8s.io/kubernetes@v1.29.15',
  '1.30.14': 'k8s.io/kubernetes@v1.30.14',
  '1.31.14': 'k8s.io/kubernetes@v1.31.14',
  '1.32.13': 'k8s.io/kubernetes@v1.32.13',
  '1.33.13': 'k8s.io/kubernetes@v1.33.13',
  '1.34.4': 'k8s.io/kubernetes@v1.34.4',
  '1.35.4': 'k8s.io/kubernetes@v1.35.4',
  '1.36.3': 'k8s.io/kubernetes@v1.36.3',
  '1.37.2': 'k8s.io/kubernetes@v1.37.2',
} as const;

type Json = { [key: string]: unknown };

const cache = projectPath('.cache/k8s-tools/schemas');
const stamp = createHash('sha256')
  .update(JSON.stringify([KUBERNETES_MODULES, CRD_MODULES]))
  .update(await readFile(import.meta.filename))
  .digest('hex')
  .slice(0, 16);
const folder = join(cache, stamp);

if (!(await readdir(folder).catch(() => []))[0]) {
  await rm(cache, { recursive: true, force: true });
  const partial = `${folder}.partial`;
  for (const [version, module] of Object.entries(KUBERNETES_MODULES))
    await writeKubernetes(module, join(partial, version));
  for (const source of CRD_MODULES) {
    for (const file of customResourceFiles(source)) await writeCustomResources(file, join(partial, 'custom'));
  }
  await rename(partial, folder);
}
console.log(folder);

async function writeKubernetes(module: string, target: string): Promise<void> {
  const file = join(moduleFolder(module), 'api/openapi-spec/swagger.json');
  const { definitions } = JSON.parse(await readFile(file, 'utf8')) as { definitions: Record<string, Json> };
  for (const [name, definition] of Object.entries(definitions)) {
    const kinds = (definition['x-kubernetes-group-version-kind'] ?? []) as {
      group: string;
      version: string;
      kind: string;
    }[];
    if (kinds.length !== 1 || !kinds[0]) continue;
    const { group, version, kind } = kinds[0];
    const needed = withReferences(name, definitions);
    const schema = { ...pin(strict(definition), group, version, kind), definitions: needed };
    await write(target, fileName(group, version, kind), schema);
  }
}

/** The definitions that one needs, by name. */
function withReferences(name: string, definitions: Record<string, Json>, found: Json = {}): Json {
  const text = JSON.stringify(definitions[name]);
  for (const [, other = ''] of text.matchAll(/"#\/definitions\/([^"]+)"/g)) {
    if (other in found) continue;
    found[other] = strict(definitions[other] ?? {});
    withReferences(other, definitions, found);
  }
  return found;
}

async function writeCustomResources(file: string, target: string): Promise<void> {
  for (const document of parseAllDocuments(await readFile(file, 'utf8'))) {
    await writeCustomResource(document.toJS() as CustomResource | null, target);
  }
}

interface CustomResource {
  readonly kind: string;
  readonly spec: {
    readonly group: string;
    readonly names: { readonly kind: string };
    readonly versions: readonly {
      readonly name: string;
      readonly served: boolean;
      readonly schema: { readonly openAPIV3Schema: Json };
    }[];
  };
}

async function writeCustomResource(resource: CustomResource | null, target: string): Promise<void> {
  if (resource?.kind !== 'CustomResourceDefinition') return;
  const { group, names, versions } = resource.spec;
  for (const { name: version, served, schema } of versions) {
    if (!served) continue;
    await write(
      target,
      fileName(group, version, names.kind),
      pin(strict(schema.openAPIV3Schema), group, version, names.kind),
    );
  }
}

/** As kubeconform asks for it: `{{ .ResourceKind }}{{ .KindSuffix }}.json`. */
function fileName(group: string, version: string, kind: string): string {
  const [first] = group.split('.');
  return `${[kind.toLowerCase(), first, version].filter(Boolean).join('-')}.json`;
}

function pin(schema: Json, group: string, version: string, kind: string): Json {
  const properties = { ...(schema['properties'] as Json) };
  properties['apiVersion'] = { const: group ? `${group}/${version}` : version };
  properties['kind'] = { const: kind };
  return {
    ...schema,
    properties,
    required: [...new Set([...((schema['required'] as string[]) ?? []), 'apiVersion', 'kind', 'metadata'])],
  };
}

/** Unknown fields are mistakes, but where the API takes them. Fields that may be a number or a text are told by a format. */
function strict(schema: Json): Json {
  if (schema['format'] === 'int-or-string' || schema['x-kubernetes-int-or-string'] === true)
    return { type: ['integer', 'string'] };
  if (typeof schema['description'] === 'string' && schema['description'].startsWith('Quantity is a fixed-point'))
    return { type: ['string', 'number'] };
  const result: Json = {};
  for (const [key, value] of Object.entries(schema)) {
    // The server's own checks of formats and of CEL rules are not JSON Schema's.
    if (key === 'description' || key === 'format' || key.startsWith('x-kubernetes-')) continue;
    result[key] = key === 'properties' ? mapValues(value as Record<string, Json>, strict) : inner(key, value);
  }
  const isOpen = schema['x-kubernetes-preserve-unknown-fields'] === true || 'additionalProperties' in schema;
  if ('properties' in schema && !isOpen) result['additionalProperties'] = false;
  return result;
}

function inner(key: string, value: unknown): unknown {
  if (
    (key === 'items' || key === 'additionalProperties' || key === 'not') &&
    value !== null &&
    typeof value === 'object'
  )
    return strict(value as Json);
  // What stands in these narrows a schema that stands beside them: to be strict is the other one's.
  return value;
}

function mapValues<T, R>(record: Record<string, T>, change: (value: T) => R): Record<string, R> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}

async function write(target: string, name: string, schema: Json): Promise<void> {
  const path = join(target, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, JSON.stringify(schema));
}
