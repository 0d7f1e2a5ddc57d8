import pg from 'pg';
import { eventually } from '../../support/eventually.ts';
import { CREDENTIALS } from '../../support/ses/sigv4.ts';
import { kubectl } from './commands.ts';
import { Forward } from './forward.ts';
import { TEST_IMAGE } from './images.ts';

const PASSWORD = 'backing';
const START_LIMIT = 120_000;

export interface BackingOptions {
  /** Milliseconds that each answer of the SES double takes. */
  readonly sesLatency?: number;
}

/** What an operator has beside the relay: a Postgres, a queue of SQS, and SES; in a namespace of their own. */
export interface Backing {
  readonly databaseUrl: string;
  /** The same in parts. */
  readonly database: Readonly<{ host: string; port: number; user: string; name: string; password: string }>;
  readonly queueUrl: string;
  readonly sqsEndpoint: string;
  readonly sesEndpoint: string;
  /** Of SQS and SES. */
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** To the same database from here. */
  readonly db: pg.Pool;
  /** How many messages the SES double has taken. */
  sent(): Promise<number>;
  /** The same queue's, from here. */
  readonly localSqsEndpoint: () => string;
  /** Ends the database's pod, waits, and starts it again with its data. */
  withoutDatabase(during: () => Promise<void>): Promise<void>;
  remove(): Promise<void>;
}

/** Installs them into the namespace, and waits until they answer. */
export async function installBacking(namespace: string, options: BackingOptions = {}): Promise<Backing> {
  await kubectl(['create', 'namespace', namespace]);
  await kubectl(['apply', '-n', namespace, '-f', '-'], { input: JSON.stringify(manifests(options)) });
  await kubectl(['-n', namespace, 'rollout', 'status', 'deployment', '--timeout', `${START_LIMIT / 1000}s`]);
  const forwards = await Promise.all([
    Forward.open(namespace, 'postgres', 5432),
    Forward.open(namespace, 'queue', 4566),
    Forward.open(namespace, 'ses', 4567),
  ]);
  const [postgres, sqs, ses] = forwards;
  const db = new pg.Pool({ connectionString: urlOf('127.0.0.1', postgres.port), max: 2 });
  // The forward goes with its pod.
  db.on('error', () => {});
  await eventually(() => db.query('select'), START_LIMIT);
  const scale = async (replicas: number): Promise<void> => {
    await kubectl(['-n', namespace, 'scale', 'deployment/postgres', `--replicas=${replicas}`]);
    await kubectl(['-n', namespace, 'rollout', 'status', 'deployment/postgres', `--timeout=${START_LIMIT / 1000}s`]);
  };
  return {
    databaseUrl: urlOf(`postgres.${namespace}.svc`, 5432),
    database: { host: `postgres.${namespace}.svc`, port: 5432, user: 'postgres', name: 'postgres', password: PASSWORD },
    queueUrl: `http://queue.${namespace}.svc:4566/000000000000/jobs`,
    sqsEndpoint: `http://queue.${namespace}.svc:4566`,
    sesEndpoint: `http://ses.${namespace}.svc:4567`,
    ...CREDENTIALS,
    db,
    async sent() {
      const answer = await fetch(`http://127.0.0.1:${ses.port}/_control/counts`);
      return ((await answer.json()) as { messages: number }).messages;
    },
    localSqsEndpoint: () => `http://127.0.0.1:${sqs.port}`,
    async withoutDatabase(during) {
      await scale(0);
      await kubectl(['-n', namespace, 'wait', 'pod', '-l', 'app=postgres', '--for=delete', '--timeout=60s']);
      try {
        await during();
      } finally {
        await scale(1);
        await eventually(() => db.query('select'), START_LIMIT);
      }
    },
    async remove() {
      await db.end();
      await Promise.all(forwards.map(forward => forward.close()));
      await kubectl(['delete', 'namespace', namespace, '--timeout=120s']);
    },
  };
}

function urlOf(host: string, port: number): string {
  return `postgres://postgres:${PASSWORD}@${host}:${port}/postgres`;
}

function manifests({ sesLatency = 20 }: BackingOptions): object {
  const claim = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'postgres' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '2Gi' } } },
  };
  const volumeMounts = [{ name: 'data', mountPath: '/data' }];
  // Postgres does not run as root, whose folder the volume may be.
  const opened = ['-e', 'require("node:fs").chmodSync("/data", 0o755)'];
  const initContainers = [
    { name: 'open', image: TEST_IMAGE, imagePullPolicy: 'IfNotPresent', args: opened, volumeMounts },
  ];
  const database = {
    args: ['dev/main.ts', 'demo-postgres'],
    env: [
      { name: 'DEMO_POSTGRES_DIRECTORY', value: '/data/postgres' },
      { name: 'DEMO_POSTGRES_PASSWORD', value: PASSWORD },
    ],
    volumeMounts,
  };
  const volumes = [{ name: 'data', persistentVolumeClaim: { claimName: 'postgres' } }];
  const ses = { host: '0.0.0.0', port: 4567, latency: sesLatency };
  return {
    apiVersion: 'v1',
    kind: 'List',
    items: [
      claim,
      ...service('postgres', 5432, database, { volumes, initContainers }),
      // Not `sqs`: the emulator would take what follows in the host's name for a region.
      ...service('queue', 4566, { args: ['test/cluster/pods/sqs.ts', 'jobs'] }),
      // It ends with its standard input.
      ...service('ses', 4567, { args: ['test/support/ses/main.ts', JSON.stringify(ses)], stdin: true }),
    ],
  };
}

/** One pod, and a Service that leads to it. */
function service(name: string, port: number, container: object, pod: object = {}): object[] {
  const labels = { app: name };
  const main = {
    name,
    image: TEST_IMAGE,
    imagePullPolicy: 'IfNotPresent',
    readinessProbe: { tcpSocket: { port }, periodSeconds: 1 },
    ...container,
  };
  const template = {
    metadata: { labels },
    spec: { containers: [main], enableServiceLinks: false, terminationGracePeriodSeconds: 10, ...pod },
  };
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name },
      spec: { strategy: { type: 'Recreate' }, selector: { matchLabels: labels }, template },
    },
    { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { selector: labels, ports: [{ port }] } },
  ];
}
