export type Schema = { [keyword: string]: unknown };

/*
 * What values of the chart may be that are objects of Kubernetes, or names of some: as narrow as Kubernetes itself, so that what
 * it would refuse after minutes is refused before anything is applied.
 */

const whole = (minimum: number, maximum?: number): Schema => ({
  type: 'integer',
  minimum,
  ...(maximum !== undefined && { maximum }),
});
const text = (pattern: string): Schema => ({ type: 'string', pattern });
const words = (...all: string[]): Schema => ({ enum: all });
const truth: Schema = { type: 'boolean' };
const anything: Schema = { type: 'object' };
const named: Schema = { type: 'string', minLength: 1 };

export function group(properties: Schema, required: readonly string[] = []): Schema {
  return { type: 'object', properties, ...(required.length > 0 && { required }), additionalProperties: false };
}

const listOf = (items: Schema): Schema => ({ type: 'array', items });
const ref = (name: string): Schema => ({ $ref: `#/$defs/${name}` });

const OCTET = '(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])';
const IPV4 = `${OCTET}(\\.${OCTET}){3}`;
const IPV6 = '[0-9a-fA-F]*:[0-9a-fA-F:]*(:[0-9.]+)?';
const NAME = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const HOST = `${NAME}(\\.${NAME})*`;

function names(): Schema {
  return {
    /** May be empty: then the chart has a name of its own. */
    label: { type: 'string', maxLength: 253, pattern: '^([a-z]([-a-z0-9]*[a-z0-9])?)?$' },
    objectName: { type: 'string', maxLength: 253, pattern: `^(${HOST})?$` },
    secretKey: { type: 'string', maxLength: 253, pattern: '^[-._a-zA-Z0-9]*$' },
    host: { type: 'string', maxLength: 253, pattern: `^(\\*\\.)?${HOST}$` },
    address: text(`^(${IPV4}|${IPV6})$`),
    network: text(`^(${IPV4}/(3[0-2]|[12]?[0-9])|${IPV6}/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))$`),
    mailbox: text('^([^\\s@<>]+@[^\\s@<>]+)?$'),
    quantity: {
      anyOf: [{ type: 'number', minimum: 0 }, text('^[0-9]+(\\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$')],
    },
    goDuration: text('^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$'),
    scrapeDuration: text('^([0-9]+(ms|s|m|h|d))+$'),
    count: { anyOf: [whole(0), text('^(100|[1-9]?[0-9])%$'), { type: 'null' }] },
    port: whole(1, 65_535),
    labels: {
      type: 'object',
      propertyNames: { pattern: '^([a-z0-9]([-.a-z0-9]*[a-z0-9])?/)?[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$' },
      additionalProperties: { type: 'string', maxLength: 63, pattern: '^([A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?)?$' },
    },
    annotations: {
      type: 'object',
      propertyNames: { pattern: '^([a-z0-9]([-.a-z0-9]*[a-z0-9])?/)?[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$' },
      additionalProperties: { type: 'string' },
    },
  };
}

function containers(): Schema {
  const port = { anyOf: [ref('port'), named] };
  return {
    env: listOf(group({ name: named, value: { type: 'string' }, valueFrom: anything }, ['name'])),
    envFrom: listOf(group({ prefix: { type: 'string' }, configMapRef: anything, secretRef: anything })),
    volumes: listOf({ type: 'object', properties: { name: named }, required: ['name'], minProperties: 2 }),
    volumeMounts: listOf({
      type: 'object',
      properties: { name: named, mountPath: named, subPath: { type: 'string' }, readOnly: truth },
      required: ['name', 'mountPath'],
    }),
    volumeSource: { type: 'object', minProperties: 1, maxProperties: 1 },
    containers: listOf({
      type: 'object',
      properties: {
        name: named,
        image: named,
        env: listOf(anything),
        ports: listOf({ type: 'object', properties: { containerPort: port } }),
      },
      required: ['name'],
    }),
    resizePolicy: listOf(
      group({ resourceName: words('cpu', 'memory'), restartPolicy: words('NotRequired', 'RestartContainer') }, [
        'resourceName',
        'restartPolicy',
      ]),
    ),
    resources: group({
      requests: { type: 'object', additionalProperties: ref('quantity') },
      limits: { type: 'object', additionalProperties: ref('quantity') },
      claims: listOf({ type: 'object', required: ['name'] }),
    }),
    probe: group(
      {
        enabled: truth,
        initialDelaySeconds: whole(0),
        periodSeconds: whole(1),
        timeoutSeconds: whole(1),
        failureThreshold: whole(1),
        successThreshold: whole(1),
        terminationGracePeriodSeconds: whole(1),
      },
      ['enabled'],
    ),
  };
}

function pods(): Schema {
  const identity = { runAsUser: whole(0), runAsGroup: whole(0), runAsNonRoot: truth };
  const profile = group(
    { type: words('RuntimeDefault', 'Localhost', 'Unconfined'), localhostProfile: { type: 'string' } },
    ['type'],
  );
  const shared = {
    ...identity,
    seLinuxOptions: anything,
    seccompProfile: profile,
    appArmorProfile: anything,
    windowsOptions: anything,
  };
  const capabilities = group({ add: listOf(named), drop: listOf(named) });
  return {
    podSecurityContext: group({
      ...shared,
      fsGroup: whole(0),
      fsGroupChangePolicy: words('OnRootMismatch', 'Always'),
      supplementalGroups: listOf(whole(0)),
      supplementalGroupsPolicy: words('Merge', 'Strict'),
      seLinuxChangePolicy: named,
      sysctls: listOf({ type: 'object', required: ['name', 'value'] }),
    }),
    securityContext: group({
      ...shared,
      allowPrivilegeEscalation: truth,
      privileged: truth,
      readOnlyRootFilesystem: truth,
      procMount: named,
      capabilities,
    }),
    affinity: group({ nodeAffinity: anything, podAffinity: anything, podAntiAffinity: anything }),
    tolerations: listOf(
      group({
        key: { type: 'string' },
        operator: words('Exists', 'Equal', 'Lt', 'Gt'),
        value: { type: 'string' },
        effect: words('', 'NoSchedule', 'PreferNoSchedule', 'NoExecute'),
        tolerationSeconds: { type: ['integer', 'null'] },
      }),
    ),
    topologySpread: {
      type: ['array', 'null'],
      items: group(
        {
          maxSkew: whole(1),
          topologyKey: named,
          whenUnsatisfiable: words('DoNotSchedule', 'ScheduleAnyway'),
          labelSelector: anything,
          minDomains: whole(1),
          matchLabelKeys: listOf(named),
          nodeAffinityPolicy: words('Honor', 'Ignore'),
          nodeTaintsPolicy: words('Honor', 'Ignore'),
        },
        ['maxSkew', 'topologyKey', 'whenUnsatisfiable', 'labelSelector'],
      ),
    },
    hostAliases: listOf(group({ ip: ref('address'), hostnames: listOf(named) }, ['ip', 'hostnames'])),
    dnsConfig: group({
      nameservers: listOf(ref('address')),
      searches: listOf({ type: 'string' }),
      options: listOf(group({ name: named, value: { type: 'string' } }, ['name'])),
    }),
    strategy: group({
      type: words('RollingUpdate', 'Recreate'),
      rollingUpdate: { anyOf: [group({ maxUnavailable: ref('count'), maxSurge: ref('count') }), { type: 'null' }] },
    }),
  };
}

function scaling(): Schema {
  const rules = group({
    stabilizationWindowSeconds: whole(0, 3600),
    selectPolicy: words('Max', 'Min', 'Disabled'),
    tolerance: ref('quantity'),
    policies: listOf(
      group({ type: words('Pods', 'Percent'), value: whole(1), periodSeconds: whole(1, 1800) }, [
        'type',
        'value',
        'periodSeconds',
      ]),
    ),
  });
  return {
    behavior: group({ scaleUp: rules, scaleDown: rules }),
    metrics: listOf({
      type: 'object',
      properties: { type: words('Resource', 'Pods', 'Object', 'External', 'ContainerResource') },
      required: ['type'],
    }),
    fallback: group({ failureThreshold: whole(1), replicas: whole(0), behavior: named }),
    triggers: listOf({ type: 'object', properties: { type: named, metadata: anything }, required: ['type'] }),
  };
}

function network(): Schema {
  const peer = {
    ...group({
      podSelector: anything,
      namespaceSelector: anything,
      ipBlock: group({ cidr: ref('network'), except: listOf(ref('network')) }, ['cidr']),
    }),
    minProperties: 1,
  };
  const peers = listOf(peer);
  const ports = listOf(
    group({ port: { anyOf: [ref('port'), named] }, endPort: ref('port'), protocol: words('TCP', 'UDP', 'SCTP') }),
  );
  return {
    peers,
    ingressRules: listOf(group({ from: peers, ports })),
    egressRules: listOf(group({ to: peers, ports })),
    parentRefs: listOf(
      group(
        {
          group: { type: 'string' },
          kind: named,
          namespace: named,
          name: named,
          sectionName: named,
          port: ref('port'),
        },
        ['name'],
      ),
    ),
    servicePort: group(
      {
        enabled: truth,
        port: ref('port'),
        target: words('smtp', 'smtps', 'legacy'),
        nodePort: { type: ['integer', 'null'], minimum: 1, maximum: 65_535 },
        appProtocol: { type: 'string' },
      },
      ['enabled', 'port', 'target'],
    ),
    relabelings: listOf(anything),
    ruleGroups: listOf({
      type: 'object',
      properties: { name: named, rules: listOf(anything) },
      required: ['name', 'rules'],
    }),
    privateKey: group({
      algorithm: words('ECDSA', 'RSA', 'Ed25519'),
      size: whole(0),
      encoding: words('PKCS1', 'PKCS8'),
      rotationPolicy: words('Always', 'Never'),
    }),
    secretTemplate: group({ labels: ref('labels'), annotations: ref('annotations') }),
  };
}

/** By name, as `# @schema {"$ref": "#/$defs/…"}` in values.yaml refers to them. */
export function definitions(): Schema {
  return { ...names(), ...containers(), ...pods(), ...scaling(), ...network() };
}
