import { containers, pods } from './pod-definitions.ts';
import { anything, group, listOf, named, ref, type Schema, text, truth, where, whole, words } from './schema-parts.ts';

/*
 * What values of the chart may be that are objects of Kubernetes, or names of some: as narrow as Kubernetes itself, so that what
 * it would refuse after minutes is refused before anything is applied.
 */

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
    /** Of Secrets that images are pulled with. */
    nameOrObject: { anyOf: [text(`^${HOST}$`), group({ name: text(`^${HOST}$`) }, ['name'])] },
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
    selector: group({
      matchLabels: ref('labels'),
      matchExpressions: listOf(
        group(
          { key: named, operator: words('In', 'NotIn', 'Exists', 'DoesNotExist'), values: listOf({ type: 'string' }) },
          ['key', 'operator'],
        ),
      ),
    }),
    annotations: {
      type: 'object',
      propertyNames: { pattern: '^([a-z0-9]([-.a-z0-9]*[a-z0-9])?/)?[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$' },
      additionalProperties: { type: 'string' },
    },
  };
}

/** Of a HorizontalPodAutoscaler: the field that goes with each type. */
const METRICS = {
  Resource: 'resource',
  Pods: 'pods',
  Object: 'object',
  External: 'external',
  ContainerResource: 'containerResource',
} as const;

const measured = (field: string): [string, Schema] => [
  field,
  { type: 'object', properties: { target: { type: 'object', required: ['type'] } }, required: ['target'] },
];

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
      ...group({ type: words(...Object.keys(METRICS)), ...Object.fromEntries(Object.values(METRICS).map(measured)) }, [
        'type',
      ]),
      allOf: Object.entries(METRICS).map(([type, field]) => where('type', words(type), { required: [field] })),
    }),
    fallback: group({ failureThreshold: whole(1), replicas: whole(0), behavior: named }),
    triggers: listOf(
      group(
        {
          type: named,
          name: { type: 'string' },
          metricType: words('AverageValue', 'Value', 'Utilization'),
          useCachedMetrics: truth,
          metadata: { type: 'object', additionalProperties: { type: 'string' } },
          authenticationRef: group(
            { name: named, kind: words('TriggerAuthentication', 'ClusterTriggerAuthentication') },
            ['name'],
          ),
        },
        ['type', 'metadata'],
      ),
    ),
    podIdentity: group(
      {
        provider: words('aws', 'aws-eks', 'none'),
        roleArn: text('^arn:'),
        identityOwner: words('keda', 'workload'),
      },
      ['provider'],
    ),
  };
}

const RELABELINGS = [
  'Replace',
  'Keep',
  'Drop',
  'HashMod',
  'LabelMap',
  'LabelDrop',
  'LabelKeep',
  'Lowercase',
  'Uppercase',
  'KeepEqual',
  'DropEqual',
];

function network(): Schema {
  const expression = { anyOf: [named, { type: 'number' }] };
  const rule = {
    for: ref('scrapeDuration'),
    keep_firing_for: ref('scrapeDuration'),
    labels: { type: 'object', additionalProperties: { type: 'string' } },
    annotations: { type: 'object', additionalProperties: { type: 'string' } },
  };
  const peer = {
    ...group({
      podSelector: ref('selector'),
      namespaceSelector: ref('selector'),
      ipBlock: group({ cidr: ref('network'), except: listOf(ref('network')) }, ['cidr']),
    }),
    minProperties: 1,
    // An address is of no pod.
    ...where('ipBlock', anything, { maxProperties: 1 }),
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
    relabelings: listOf(
      group({
        sourceLabels: listOf(named),
        separator: { type: 'string' },
        targetLabel: { type: 'string' },
        regex: { type: 'string' },
        modulus: whole(1),
        replacement: { type: 'string' },
        action: words(...RELABELINGS, ...RELABELINGS.map(name => name.toLowerCase())),
      }),
    ),
    ruleOverride: group({ ...rule, expr: expression }),
    ruleGroups: listOf({
      type: 'object',
      properties: {
        name: named,
        rules: listOf({
          ...group({ ...rule, alert: named, record: named, expr: expression }, ['expr']),
          oneOf: [{ required: ['alert'] }, { required: ['record'] }],
        }),
      },
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
