import process from 'node:process';
import { isDeepStrictEqual } from 'node:util';
import { settings } from '../../../src/config/schema.ts';
import { podsOf, renderChart } from '../chart.ts';

/*
 * A change of the configuration replaces the pods if, and only if, the program cannot take it over. Renders the chart with another
 * value of setting after setting, and compares the pods. And what cannot be changed in a Job changes its name.
 *
 *     node bin/node24.js tools/chart/check/rolls.ts
 */

const BASE = [
  'pipeline="standalone"',
  'tls.mode="none"',
  'config.hostname="a.example.com"',
  'secrets.databaseUrl.value="postgres://user:first@db:5432/mail"',
  'secrets.trackingSecrets.value="sixteen characters"',
  'secrets.webhooksSecretKeys.value="first"',
];

function manifests(...sets: readonly string[]) {
  return renderChart('r', ...[...BASE, ...sets].flatMap(set => ['--set-json', set]));
}

function render(...sets: readonly string[]): unknown {
  return podsOf(manifests(...sets))
    .filter(({ owner }) => owner.kind === 'Deployment')
    .map(({ spec, owner }) => [spec, owner.spec.template.metadata]);
}

/** Each by one of its values other than the default. Lists and the like by what the schema takes for them. */
const VALUES: Readonly<Record<string, string>> = {
  logLevel: '"debug"',
  'limits.connections': '17',
  recipients: '"headers"',
  trustedNetworks: '["10.1.0.0/16=0b8e1c9e-6f0c-4f0e-9d7a-2f5a3c1d4e6f"]',
  routes: '[{"domains":["a.com"],"transport":"ses"}]',
  'events.snsTopics': '["arn:aws:sns:eu-west-1:123456789012:ses"]',
  maxMessageSizeBytes: '26214400',
  logFormat: '"pretty"',
  queueUrl: '"https://sqs.eu-west-1.amazonaws.com/1/q"',
  'worker.concurrency': '3',
  'retention.raw': '"1d"',
  hostname: '"b.example.com"',
  'database.poolSize': '3',
  'ses.region': '"eu-west-1"',
  'tracking.baseUrl': '"https://t.example.com"',
};

const before = render();
const names = new Map<string, boolean>(settings.map(({ name, reloadable }) => [name, reloadable]));
function expectRoll(what: string, isExpected: boolean, ...sets: readonly string[]): void {
  if (isDeepStrictEqual(render(...sets), before) !== isExpected) return;
  console.error(
    `${what}: pods are ${isExpected ? 'not replaced, though a restart is needed' : 'replaced without need'}`,
  );
  process.exitCode = 1;
}

for (const [name, value] of Object.entries(VALUES)) {
  const reloadable = names.get(name);
  if (reloadable === undefined) throw new Error(`there is no setting ${name}`);
  expectRoll(name, !reloadable, `config.${name}=${value}`);
}
expectRoll('another password', false, 'secrets.databaseUrl.value="postgres://user:second@db:5432/mail"');
expectRoll('another database', true, 'secrets.databaseUrl.value="postgres://user:first@other:5432/mail"');
expectRoll('other secrets of tracking', false, 'secrets.trackingSecrets.value="seventeen characters"');
expectRoll('other keys of webhooks', true, 'secrets.webhooksSecretKeys.value="second"');

const jobOf = (...sets: readonly string[]) => manifests(...sets).find(({ kind }) => kind === 'Job');
const [job, sameJob] = [jobOf(), jobOf()];
if (!job || job.metadata.name !== sameJob?.metadata.name) {
  console.error('the Job of migrations has another name though nothing has changed');
  process.exitCode = 1;
}
for (const set of ['image.tag="next"', 'migrations.resources.limits.memory="1Gi"', 'migrations.backoffLimit=1']) {
  if (jobOf(set)?.metadata.name !== job?.metadata.name) continue;
  console.error(`${set}: the Job of migrations keeps its name, and Kubernetes does not let it be changed`);
  process.exitCode = 1;
}
