import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { isDeepStrictEqual } from 'node:util';
import { type Manifest, nameOf, type PodOf, parseManifests, podsOf } from '../chart.ts';

/*
 * What schemas cannot say of rendered manifests: that pods are clean by the Pod Security Standard `restricted`, and that objects
 * that name each other fit together.
 *
 *     node bin/node24.js tools/chart/check/rendered.ts FILE…
 *     node bin/node24.js tools/chart/check/rendered.ts --same FILE FILE      whether both hold the same objects, in whatever order
 */

type Problems = string[];

/** https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and some more that the chart promises. */
function checkPod({ owner, spec }: PodOf): Problems {
  const problems: Problems = [];
  const require = (good: unknown, what: string) => void (good || problems.push(`${nameOf(owner)}: ${what}`));
  const security = spec.securityContext ?? {};
  require(security.runAsNonRoot === true, 'runAsNonRoot is not true');
  // On OpenShift the namespace has one.
  require(security.runAsUser === undefined || Number(security.runAsUser) > 0, 'runAsUser is not a number above 0');
  require(['RuntimeDefault', 'Localhost'].includes(security.seccompProfile?.type), 'there is no seccomp profile');
  require(!spec.hostNetwork && !spec.hostPID && !spec.hostIPC, 'it shares a namespace of the node');
  require(spec.automountServiceAccountToken === false, 'a token is mounted');
  require(spec.enableServiceLinks === false, 'service links are on');
  for (const volume of spec.volumes ?? []) require(!volume.hostPath, `volume ${volume.name} is a folder of the node`);
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
    // Further containers of a values file are its own affair.
    if (!FOREIGN.has(container.name))
      checkContainer(container, (good, what) => require(good, `container ${container.name}: ${what}`));
  }
  return problems;
}

const FOREIGN: ReadonlySet<string> = new Set(['sidecar', 'before']);

// biome-ignore lint/suspicious/noExplicitAny: kubeconform has checked it
function checkContainer(container: any, require: (good: unknown, what: string) => void): void {
  const security = container.securityContext ?? {};
  require(security.allowPrivilegeEscalation === false, 'privileges may be raised');
  require(security.privileged !== true, 'it is privileged');
  require(security.readOnlyRootFilesystem === true, 'the root file system can be written');
  require(security.capabilities?.drop?.includes('ALL') && !security.capabilities.add, 'capabilities are left');
  require(container.resources?.requests?.cpu && container.resources.requests.memory, 'it asks for no CPU or memory');
  require(container.resources?.limits?.memory, 'memory has no limit');
  require(!/:latest$|^[^:@]+$/.test(container.image), `the image ${container.image} has no fixed tag`);
  const names = container.env?.map(({ name }: { name: string }) => name) ?? [];
  require(new Set(names).size === names.length, 'an environment variable is there twice');
}

/** Names and selectors lead somewhere. */
function checkReferences(manifests: readonly Manifest[]): Problems {
  const pods = podsOf(manifests);
  const has = (kind: string, name: string) =>
    manifests.some(other => other.kind === kind && other.metadata.name === name);
  return [
    ...manifests.filter(({ kind }) => kind === 'Service').flatMap(service => checkService(service, pods)),
    ...pods.flatMap(pod => checkMounts(pod, has)),
    ...manifests.filter(({ kind }) => kind === 'PodDisruptionBudget').flatMap(budget => checkBudget(budget, manifests)),
    ...checkScaling(manifests),
    ...checkTwins(manifests),
  ];
}

function selects(selector: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(selector).every(([name, value]) => labels[name] === value);
}

function checkService(service: Manifest, pods: readonly PodOf[]): Problems {
  const chosen = pods.filter(({ labels }) => selects(service.spec.selector, labels));
  if (chosen.length === 0) return [`${nameOf(service)}: it selects no pod`];
  return chosen.flatMap(({ owner, spec }) => {
    // biome-ignore lint/suspicious/noExplicitAny: kubeconform has checked it
    const names = spec.containers.flatMap(({ ports }: any) => ports ?? []).map(({ name }: { name: string }) => name);
    const missing = service.spec.ports.filter(({ targetPort }: { targetPort: string }) => !names.includes(targetPort));
    return missing.map(
      ({ targetPort }: { targetPort: string }) => `${nameOf(service)}: ${nameOf(owner)} has no port ${targetPort}`,
    );
  });
}

/** Of ConfigMaps: those are always the chart's own. Secrets may be there already. */
function checkMounts({ owner, spec }: PodOf, has: (kind: string, name: string) => boolean): Problems {
  const volumes = new Map<string, { configMap?: { name: string } }>(
    (spec.volumes ?? []).map((volume: { name: string }) => [volume.name, volume]),
  );
  const problems: Problems = [];
  for (const [name, { configMap }] of volumes) {
    if (configMap && !has('ConfigMap', configMap.name))
      problems.push(`${nameOf(owner)}: volume ${name} is of ConfigMap ${configMap.name}, which is not there`);
  }
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
    for (const { name } of container.volumeMounts ?? []) {
      if (!volumes.has(name)) problems.push(`${nameOf(owner)}: there is no volume ${name}`);
    }
  }
  return problems;
}

/** A budget that one pod alone stands under keeps its node from ever being drained. */
function checkBudget(budget: Manifest, manifests: readonly Manifest[]): Problems {
  const selector = budget.spec.selector.matchLabels;
  const target = manifests.find(
    ({ kind, spec }) => kind === 'Deployment' && selects(selector, spec.template.metadata.labels),
  );
  if (!target) return [`${nameOf(budget)}: it is about no Deployment`];
  const scaler = manifests.find(({ spec }) => spec?.scaleTargetRef?.name === target.metadata.name);
  const least = scaler ? (scaler.spec.minReplicas ?? scaler.spec.minReplicaCount) : target.spec.replicas;
  return least > 1 ? [] : [`${nameOf(budget)}: there may be ${least} pod only, which could never be moved`];
}

function checkScaling(manifests: readonly Manifest[]): Problems {
  return manifests
    .filter(({ kind }) => kind === 'Deployment')
    .flatMap(deployment => {
      const scalers = manifests.filter(({ spec }) => spec?.scaleTargetRef?.name === deployment.metadata.name);
      const problems: Problems = [];
      if (scalers.length > 1) problems.push(`${nameOf(deployment)}: ${scalers.map(nameOf).join(' and ')} scale it`);
      for (const { spec } of scalers) {
        const least = spec.minReplicas ?? spec.minReplicaCount;
        if ((deployment.spec.replicas ?? least) < least)
          problems.push(`${nameOf(deployment)}: it begins with fewer pods than its autoscaler keeps`);
      }
      return problems;
    });
}

function checkTwins(manifests: readonly Manifest[]): Problems {
  const seen = new Set<string>();
  return manifests.flatMap(manifest => {
    const name = `${manifest.apiVersion} ${nameOf(manifest)}`;
    const problem = seen.has(name) ? [`${name} is there twice`] : [];
    seen.add(name);
    return problem;
  });
}

function complain(text: string): void {
  console.error(text);
  process.exitCode = 1;
}

const files = process.argv.slice(2).filter(word => word !== '--same');
const all = await Promise.all(files.map(async file => parseManifests(await readFile(file, 'utf8'))));
if (process.argv.includes('--same')) {
  const [one, other] = all.map(manifests => manifests.sort((a, b) => nameOf(a).localeCompare(nameOf(b))));
  if (!isDeepStrictEqual(one, other)) complain(`${files.join(' and ')} differ`);
} else {
  for (const [index, manifests] of all.entries()) {
    const problems = [...podsOf(manifests).flatMap(checkPod), ...checkReferences(manifests)];
    for (const problem of problems) complain(`${files[index]}: ${problem}`);
  }
}
