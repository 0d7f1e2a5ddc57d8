import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';

/** A path below the project's folder. */
export function projectPath(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}

export function chartPath(path: string): string {
  return projectPath(`charts/opensend-smtp-relay/${path}`);
}

/** An object of Kubernetes, as far as checks look at it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  // biome-ignore lint/suspicious/noExplicitAny: each kind has another one, and kubeconform has checked it.
  readonly spec?: any;
  // biome-ignore lint/suspicious/noExplicitAny: likewise
  readonly [field: string]: any;
}

export interface PodOf {
  readonly owner: Manifest;
  readonly labels: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: likewise
  readonly spec: any;
}

export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text).flatMap(document => {
    const object = document.toJS() as Manifest | null;
    return object === null ? [] : [object];
  });
}

/** What `helm template` makes of the chart. @param flags of Helm's, for values for instance */
export function renderChart(release: string, ...flags: readonly string[]): Manifest[] {
  const args = ['template', release, chartPath(''), ...flags];
  return parseManifests(execFileSync('helm', args, { encoding: 'utf8', maxBuffer: 1e8 }));
}

/** `Deployment mail-relay`. */
export function nameOf({ kind, metadata }: Manifest): string {
  return `${kind} ${metadata.name}`;
}

/** The pods that these objects are, or make. */
export function podsOf(manifests: readonly Manifest[]): PodOf[] {
  return manifests.flatMap(owner => {
    if (owner.kind === 'Pod') return [{ owner, labels: owner.metadata.labels ?? {}, spec: owner.spec }];
    const template = owner.spec?.template;
    if (!template?.spec?.containers) return [];
    return [{ owner, labels: template.metadata?.labels ?? {}, spec: template.spec }];
  });
}
