import { execFileSync } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { isDeepStrictEqual } from 'node:util';
import { stringify } from 'yaml';
import { type Manifest, nameOf, parseManifests, projectPath, renderChart } from './chart.ts';

/*
 * Renders k8s/base and k8s/overlays from the chart, or with --check says which files are stale:
 *
 *     node bin/node24.js tools/chart/kustomize.ts [--check]
 *
 * An overlay is what it has and the base has not, and a patch for each object that differs.
 */

const OVERLAYS = ['beside-opensend', 'standalone', 'aws', 'gke'];
const HEADER = '# Rendered from the chart by `make manifests`; do not edit.\n';

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
interface Operation {
  readonly op: 'add' | 'remove' | 'replace';
  readonly path: string;
  readonly value?: Json;
}

function render(...values: readonly string[]): Manifest[] {
  const files = values.flatMap(name => ['--values', projectPath(`k8s/values/${name}.yaml`)]);
  return renderChart('smtp-relay', ...files)
    .map(withoutHelm)
    .sort((one, other) => nameOf(one).localeCompare(nameOf(other)));
}

/** Neither Helm nor a namespace has a part in these. */
function withoutHelm({ metadata, ...rest }: Manifest): Manifest {
  const { 'helm.sh/chart': _, 'app.kubernetes.io/managed-by': __, ...labels } = metadata.labels ?? {};
  const { namespace: ___, ...others } = metadata as Manifest['metadata'] & { namespace?: string };
  const { apiVersion, kind, ...body } = rest;
  return { apiVersion, kind, metadata: { ...others, labels }, ...body };
}

function operations(from: Json, to: Json, path = ''): Operation[] {
  if (isDeepStrictEqual(from, to)) return [];
  if (!isGroup(from) || !isGroup(to)) return [{ op: 'replace', path, value: to }];
  const at = (key: string) => `${path}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
  return [...new Set([...Object.keys(from), ...Object.keys(to)])].flatMap((key): Operation[] => {
    const [before, after] = [from[key], to[key]];
    if (after === undefined) return [{ op: 'remove', path: at(key) }];
    if (before === undefined) return [{ op: 'add', path: at(key), value: after }];
    return operations(before, after, at(key));
  });
}

function isGroup(value: Json): value is { readonly [key: string]: Json } {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

const yaml = (value: unknown) => stringify(value, { lineWidth: 0 });
const documents = (manifests: readonly Manifest[]) => HEADER + manifests.map(yaml).join('---\n');

function kustomization(fields: object): string {
  return HEADER + yaml({ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', ...fields });
}

function renderOverlay(base: readonly Manifest[], wanted: readonly Manifest[], folder: string): Map<string, string> {
  const files = new Map<string, string>();
  const more = wanted.filter(manifest => !base.some(other => nameOf(other) === nameOf(manifest)));
  const patches = base.flatMap(manifest => {
    const changed = wanted.find(other => nameOf(other) === nameOf(manifest));
    if (!changed) throw new Error(`${folder} has no ${nameOf(manifest)}, which the base has`);
    const steps = operations(manifest as unknown as Json, changed as unknown as Json);
    const { kind, metadata } = manifest;
    return steps.length === 0 ? [] : [{ target: { kind, name: metadata.name }, patch: yaml(steps) }];
  });
  const resources = ['../../base', ...(more.length > 0 ? ['more.yaml'] : [])];
  files.set(`${folder}/kustomization.yaml`, kustomization({ resources, ...(patches.length > 0 && { patches }) }));
  if (more.length > 0) files.set(`${folder}/more.yaml`, documents(more));
  return files;
}

const base = render('base');
const files = new Map([
  ['base/kustomization.yaml', kustomization({ resources: ['all.yaml'] })],
  ['base/all.yaml', documents(base)],
]);
for (const overlay of OVERLAYS) {
  for (const [path, text] of renderOverlay(base, render('base', overlay), `overlays/${overlay}`)) files.set(path, text);
}

if (process.argv.includes('--check')) {
  for (const [path, text] of files) {
    if ((await readFile(projectPath(`k8s/${path}`), 'utf8').catch(() => '')) === text) continue;
    console.error(`k8s/${path} is stale: run make manifests`);
    process.exitCode = 1;
  }
} else {
  for (const folder of ['base', 'overlays']) await rm(projectPath(`k8s/${folder}`), { recursive: true, force: true });
  for (const [path, text] of files) {
    const file = join(projectPath('k8s'), path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }
}

/** kustomize drops the line break at the end of a text that it patched. */
function comparable(manifests: readonly Manifest[]): unknown {
  return JSON.parse(JSON.stringify(manifests), (_key, value) => (typeof value === 'string' ? value.trimEnd() : value));
}

/** Where there is a kustomize, what it builds is what the chart renders. */
if (process.argv.includes('--build')) {
  for (const overlay of OVERLAYS) {
    const built = parseManifests(
      execFileSync('kustomize', ['build', projectPath(`k8s/overlays/${overlay}`)], { encoding: 'utf8' }),
    );
    const sorted = built.sort((one, other) => nameOf(one).localeCompare(nameOf(other)));
    if (isDeepStrictEqual(comparable(sorted), comparable(render('base', overlay)))) continue;
    console.error(`k8s/overlays/${overlay}: kustomize builds something else than the chart renders`);
    process.exitCode = 1;
  }
}
