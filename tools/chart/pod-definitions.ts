import {
  anything,
  group,
  listOf,
  named,
  oneOf,
  ref,
  type Schema,
  text,
  truth,
  where,
  whole,
  words,
} from './schema-parts.ts';

/* What values of the chart may be that become parts of a pod. */

/** Values that may hold templates are looked at as far as there is none. */
const orTemplate = (pattern: string): Schema => text(`^(${pattern}|.*\\{\\{.*)$`);

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';

/** A key of a ConfigMap or Secret; without `key`, all of it. */
const of = (...required: string[]): Schema =>
  group({ name: named, ...(required.includes('key') && { key: named }), optional: truth }, ['name', ...required]);

function environment(): Schema {
  return oneOf({
    configMapKeyRef: of('key'),
    secretKeyRef: of('key'),
    fieldRef: group({ apiVersion: named, fieldPath: named }, ['fieldPath']),
    resourceFieldRef: group({ containerName: named, divisor: ref('quantity'), resource: named }, ['resource']),
    fileKeyRef: group({ volumeName: named, path: named, key: named, optional: truth }, ['volumeName', 'path', 'key']),
  });
}

/** What a volume may be made of; a few of the many are looked into. */
function volumeSources(): Schema {
  const others = [
    'awsElasticBlockStore',
    'azureDisk',
    'azureFile',
    'cephfs',
    'cinder',
    'csi',
    'downwardAPI',
    'ephemeral',
    'fc',
    'flexVolume',
    'flocker',
    'gcePersistentDisk',
    'gitRepo',
    'glusterfs',
    'image',
    'iscsi',
    'nfs',
    'photonPersistentDisk',
    'portworxVolume',
    'projected',
    'quobyte',
    'rbd',
    'scaleIO',
    'storageos',
    'vsphereVolume',
  ];
  const files = { items: listOf(group({ key: named, path: named, mode: whole(0, 511) }, ['key', 'path'])) };
  const mode = { defaultMode: whole(0, 511), optional: truth };
  return {
    ...Object.fromEntries(others.map(name => [name, anything])),
    emptyDir: group({ medium: words('', 'Memory'), sizeLimit: ref('quantity') }),
    configMap: group({ name: named, ...files, ...mode }, ['name']),
    secret: group({ secretName: named, ...files, ...mode }, ['secretName']),
    persistentVolumeClaim: group({ claimName: named, readOnly: truth }, ['claimName']),
    hostPath: group({ path: named, type: { type: 'string' } }, ['path']),
  };
}

export function containers(): Schema {
  const amounts = {
    type: 'object',
    propertyNames: { pattern: '^(cpu|memory|ephemeral-storage|hugepages-.+|[a-z0-9.-]+/[A-Za-z0-9._-]+)$' },
    additionalProperties: ref('quantity'),
  };
  return {
    env: listOf(
      group({ name: orTemplate('[!-<>-~]+'), value: { type: 'string' }, valueFrom: environment() }, ['name']),
    ),
    envFrom: listOf({
      ...group({ prefix: { type: 'string' }, configMapRef: of(), secretRef: of() }),
      anyOf: [{ required: ['configMapRef'] }, { required: ['secretRef'] }],
    }),
    volumes: listOf({
      ...group({ name: orTemplate(LABEL), ...volumeSources() }, ['name']),
      minProperties: 2,
      maxProperties: 2,
    }),
    volumeMounts: listOf(
      group(
        {
          name: named,
          mountPath: orTemplate('/[^:]*'),
          subPath: { type: 'string' },
          subPathExpr: { type: 'string' },
          readOnly: truth,
          recursiveReadOnly: words('Disabled', 'IfPossible', 'Enabled'),
          mountPropagation: words('None', 'HostToContainer', 'Bidirectional'),
        },
        ['name', 'mountPath'],
      ),
    ),
    volumeSource: oneOf(volumeSources()),
    containers: listOf({
      type: 'object',
      properties: {
        name: orTemplate(LABEL),
        image: named,
        command: listOf({ type: 'string' }),
        args: listOf({ type: 'string' }),
        env: ref('env'),
        envFrom: ref('envFrom'),
        volumeMounts: ref('volumeMounts'),
        resources: ref('resources'),
        securityContext: ref('securityContext'),
        imagePullPolicy: words('Always', 'IfNotPresent', 'Never'),
        restartPolicy: words('Always', 'Never', 'OnFailure'),
        ports: listOf({
          type: 'object',
          properties: { containerPort: ref('port') },
          required: ['containerPort'],
        }),
      },
      required: ['name', 'image'],
    }),
    resizePolicy: listOf(
      group({ resourceName: words('cpu', 'memory'), restartPolicy: words('NotRequired', 'RestartContainer') }, [
        'resourceName',
        'restartPolicy',
      ]),
    ),
    resources: group({
      requests: amounts,
      limits: amounts,
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

export function pods(): Schema {
  const identity = { runAsUser: whole(0), runAsGroup: whole(0), runAsNonRoot: truth };
  const profile = group(
    { type: words('RuntimeDefault', 'Localhost', 'Unconfined'), localhostProfile: { type: 'string' } },
    ['type'],
  );
  const shared = {
    ...identity,
    seLinuxOptions: anything,
    seccompProfile: profile,
    appArmorProfile: profile,
    windowsOptions: anything,
  };
  const capabilities = group({ add: listOf(named), drop: listOf(named) });
  const near = group({
    requiredDuringSchedulingIgnoredDuringExecution: listOf({ type: 'object', required: ['topologyKey'] }),
    preferredDuringSchedulingIgnoredDuringExecution: listOf(
      group({ weight: whole(1, 100), podAffinityTerm: { type: 'object', required: ['topologyKey'] } }, [
        'weight',
        'podAffinityTerm',
      ]),
    ),
  });
  return {
    podSecurityContext: group({
      ...shared,
      fsGroup: whole(0),
      fsGroupChangePolicy: words('OnRootMismatch', 'Always'),
      supplementalGroups: listOf(whole(0)),
      supplementalGroupsPolicy: words('Merge', 'Strict'),
      seLinuxChangePolicy: named,
      sysctls: listOf(group({ name: named, value: { type: 'string' } }, ['name', 'value'])),
    }),
    securityContext: group({
      ...shared,
      allowPrivilegeEscalation: truth,
      privileged: truth,
      readOnlyRootFilesystem: truth,
      procMount: named,
      capabilities,
    }),
    affinity: group({
      nodeAffinity: group({
        requiredDuringSchedulingIgnoredDuringExecution: {
          type: 'object',
          properties: { nodeSelectorTerms: { ...listOf(anything), minItems: 1 } },
          required: ['nodeSelectorTerms'],
        },
        preferredDuringSchedulingIgnoredDuringExecution: listOf(
          group({ weight: whole(1, 100), preference: anything }, ['weight', 'preference']),
        ),
      }),
      podAffinity: near,
      podAntiAffinity: near,
    }),
    tolerations: listOf({
      ...group({
        key: { type: 'string' },
        operator: words('Exists', 'Equal', 'Lt', 'Gt'),
        value: { type: 'string' },
        effect: words('', 'NoSchedule', 'PreferNoSchedule', 'NoExecute'),
        tolerationSeconds: { type: ['integer', 'null'] },
      }),
      allOf: [
        // Only what runs already is ever evicted, and a key of any kind is Exists.
        where(
          'tolerationSeconds',
          { type: 'integer' },
          { properties: { effect: words('NoExecute') }, required: ['effect'] },
        ),
        where('operator', words('Exists'), { properties: { value: words('') } }),
        { anyOf: [{ required: ['key'] }, { properties: { operator: words('Exists') }, required: ['operator'] }] },
      ],
    }),
    topologySpread: {
      type: ['array', 'null'],
      items: group(
        {
          maxSkew: whole(1),
          topologyKey: named,
          whenUnsatisfiable: words('DoNotSchedule', 'ScheduleAnyway'),
          labelSelector: ref('selector'),
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
