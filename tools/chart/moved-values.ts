import type { Schema } from './schema-parts.ts';

/*
 * What charts are used to have under another name. The schema lets these through, so that a template can say which value is meant:
 * a schema only says that it does not know the name. By the group they stand in, '' for the whole.
 */

const POD: Readonly<Record<string, string>> = {
  replicaCount: 'replicas',
  env: 'extraEnv, a list of {name, value}',
  envFrom: 'extraEnvFrom',
  envVars: 'extraEnv, a list of {name, value}',
  volumes: 'extraVolumes',
  volumeMounts: 'extraVolumeMounts',
  sidecars: 'extraContainers',
  initContainers: 'extraInitContainers',
  strategy: 'updateStrategy',
  deploymentStrategy: 'updateStrategy',
  pdb: 'podDisruptionBudget',
  hpa: 'autoscaling with kind: hpa',
  keda: 'autoscaling with kind: keda',
  containerSecurityContext: 'securityContext',
  topologySpread: 'topologySpreadConstraints',
  gracePeriod: 'terminationGracePeriodSeconds',
};

/** What relay and worker have each, and charts of one component have at the top. */
const OF_COMPONENTS = [
  'replicas',
  'autoscaling',
  'serviceAccount',
  'podLabels',
  'podAnnotations',
  'podSecurityContext',
  'securityContext',
  'podDisruptionBudget',
  'updateStrategy',
  'startupProbe',
  'livenessProbe',
  'readinessProbe',
  'nodeSelector',
  'affinity',
  'tolerations',
  'topologySpreadConstraints',
  'priorityClassName',
  'runtimeClassName',
  'schedulerName',
  'hostAliases',
  'dnsPolicy',
  'dnsConfig',
  'terminationGracePeriodSeconds',
  'revisionHistoryLimit',
  'minReadySeconds',
  'progressDeadlineSeconds',
  'extraEnvFrom',
  'extraContainers',
  'extraInitContainers',
] as const;

const both = (name: string) => `relay.${name}, and worker.${name} where there is a worker`;

const TOP: Readonly<Record<string, string>> = {
  ...Object.fromEntries(OF_COMPONENTS.map(name => [name, both(name)])),
  replicaCount: both('replicas'),
  strategy: both('updateStrategy'),
  pdb: both('podDisruptionBudget'),
  hpa: both('autoscaling'),
  keda: both('autoscaling'),
  envFrom: both('extraEnvFrom'),
  sidecars: both('extraContainers'),
  initContainers: both('extraInitContainers'),
  env: 'extraEnv, a list of {name, value}, or better config, which knows all settings by name',
  volumes: 'extraVolumes',
  volumeMounts: 'extraVolumeMounts',
  extraObject: 'extraObjects',
  extraManifests: 'extraObjects',
  extraDeploy: 'extraObjects',
  labels: 'commonLabels',
  annotations: 'commonAnnotations',
  imageRegistry: 'image.registry or global.imageRegistry',
  ingress: 'public.ingress, for opens, clicks and SNS; SMTP is no HTTP, and goes by service or gateway.tcpRoute',
  loadBalancer: 'service',
  certificate: 'tls.certManager',
  certManager: 'tls.certManager',
  database: 'secrets.databaseUrl, or config.database and secrets.databasePassword',
  postgresql: 'secrets.databaseUrl, or config.database and secrets.databasePassword',
  externalDatabase: 'secrets.databaseUrl, or config.database and secrets.databasePassword',
  databaseUrl: 'secrets.databaseUrl.existingSecret',
  existingSecret: 'secrets.databaseUrl.existingSecret, and the like for other secrets',
  aws: 'config.awsRegion, secrets.awsAccessKeyId and secrets.awsSecretAccessKey, or annotations of relay.serviceAccount and worker.serviceAccount',
  ses: 'config.ses',
  smtp: 'config.smtp',
  sqs: 'config.queueUrl',
  queueUrl: 'config.queueUrl',
  awsRegion: 'config.awsRegion',
  hostname: 'config.hostname',
  logLevel: 'config.logLevel',
  settings: 'config',
  migration: 'migrations',
  serviceMonitor: 'metrics.serviceMonitor',
  podMonitor: 'metrics.podMonitor',
  prometheusRule: 'metrics.prometheusRule',
  monitoring: 'metrics',
  prometheus: 'metrics',
  networkPolicies: 'networkPolicy',
  tests: 'test',
  persistence: 'nothing: messages are in Postgres, and pods keep none',
  rbac: 'nothing: the program does not talk to Kubernetes',
  hostNetwork: 'service, whose externalTrafficPolicy Local keeps clients’ addresses',
  command: 'nothing: the program is set by config',
  args: 'nothing: the program is set by config',
  extraArgs: 'nothing: the program is set by config',
  lifecycle: 'config.drainDelay and config.shutdownTimeout, by which the program itself stops in order',
};

const GROUPS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  '': TOP,
  '.relay': POD,
  '.worker': POD,
  '.relay.autoscaling': autoscaling(),
  '.worker.autoscaling': autoscaling(),
  '.image': {
    name: 'repository',
    image: 'repository',
    version: 'tag',
    sha: 'digest',
    pullSecrets: 'imagePullSecrets, at the top',
  },
  '.service': {
    port: 'ports.submission.port',
    targetPort: 'ports.submission.target',
    nodePort: 'ports.submission.nodePort',
    sourceRanges: 'loadBalancerSourceRanges',
    ipFamily: 'ipFamilies',
    proxy: 'proxyProtocol',
  },
  '.tls': {
    enabled: 'mode (certManager, existingSecret or none)',
    secretName: 'existingSecret, with mode: existingSecret',
    issuerRef: 'certManager.issuerRef',
    dnsNames: 'certManager.dnsNames',
    hosts: 'certManager.dnsNames',
  },
  '.migrations': { enabled: 'mode (job, initContainer, startup or none)' },
  '.metrics': {
    enabled: 'podMonitor.enabled or serviceMonitor.enabled; the metrics themselves are always there, at port 8080',
    port: 'nothing here: config.httpPort',
    rules: 'prometheusRule',
    alerts: 'prometheusRule',
    grafana: 'dashboard',
  },
  '.networkPolicy': { ingress: 'smtp.from, http.from, public.from, relay.extraIngress', from: 'smtp.from' },
  '.public': { hosts: 'ingress.hosts or httpRoute.hostnames', enabled: 'ingress.enabled or httpRoute.enabled' },
};

function autoscaling(): Readonly<Record<string, string>> {
  return {
    enabled: 'kind (none, hpa or keda)',
    minPods: 'minReplicas',
    maxPods: 'maxReplicas',
    targetCPUUtilizationPercentage: 'hpa.cpuUtilization',
    targetMemoryUtilizationPercentage: 'hpa.metrics; memory says little of how much a relay has to do',
    metrics: 'hpa.metrics',
    triggers: 'keda.triggers',
  };
}

/** The properties of a group that another name is meant by, as the schema lets them through. */
export function movedSchema(path: string): Schema {
  const moved = GROUPS[path] ?? {};
  return Object.fromEntries(Object.entries(moved).map(([name, instead]) => [name, { description: `Set ${instead}.` }]));
}

/** What the template goes by: where a value must not be, and what to set in its place. */
export function renderMovedValues(): string {
  const list = Object.entries(GROUPS).flatMap(([path, moved]) =>
    Object.entries(moved).map(([name, instead]) => ({ group: path.split('.').filter(Boolean), name, instead })),
  );
  return `${JSON.stringify(list, null, 1)}\n`;
}
