import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Registry } from 'prom-client';
import { type LiveConfig, loadLiveConfig, perGeneration } from '../../src/config/live.ts';
import { createLogger } from '../../src/observability/log.ts';
import { eventually } from '../support/eventually.ts';
import { MountedFolder } from '../support/mounted.ts';
import type { LogLine } from '../support/relay.ts';
import { DATABASE_URL, writeFiles } from './support/fixtures.ts';

interface Watched {
  readonly live: LiveConfig;
  readonly logs: readonly LogLine[];
  metric(name: string): Promise<number | undefined>;
  /** Waits until so many generations were in force. */
  reaches(generation: number): Promise<void>;
}

async function watch(t: TestContext, env: NodeJS.ProcessEnv): Promise<Watched> {
  const { live } = await loadLiveConfig(env);
  const logs: LogLine[] = [];
  const destination = { write: (line: string) => void logs.push(JSON.parse(line)) };
  const registry = new Registry();
  const logger = createLogger({ level: () => live.current.logLevel, format: 'json', destination });
  t.after(live.watch({ logger, registry }));
  return {
    live,
    logs,
    metric: async name => (await registry.getSingleMetric(name)?.get())?.values[0]?.value,
    reaches: async generation => void (await eventually(() => live.status().generation >= generation)),
  };
}

describe('mounted files, as Kubernetes mounts them', () => {
  it('of a ConfigMap: a swap of ..data is a new generation, again and again', async t => {
    const map = await MountedFolder.create(t, { 'relay.yaml': 'limits: { connections: 5 }' });
    const env = { DATABASE_URL, SMTP_RELAY_CONFIG: map.path };
    const { live, reaches, logs, metric } = await watch(t, env);
    assert.equal(live.current.limits.connections, 5);
    const seen: number[] = [];
    live.onChange(({ limits }) => seen.push(limits.connections));
    const startedAt = live.status().loadedAt;
    await map.replace({ 'relay.yaml': 'limits: { connections: 6 }' });
    await reaches(2);
    await map.replace({ 'relay.yaml': 'limits: { connections: 7 }' });
    await reaches(3);
    assert.deepEqual(seen, [6, 7]);
    assert.ok(Object.isFrozen(live.current.limits));
    assert.ok(live.status().loadedAt > startedAt);
    assert.deepEqual(logs.at(-1)?.['changed'], ['limits.connections']);
    assert.equal(await metric('smtp_relay_config_generation'), 3);
    const at = await metric('smtp_relay_config_last_reload_success_timestamp_seconds');
    assert.ok(Math.abs(Date.now() / 1000 - (at ?? 0)) < 60);
  });

  it('of a ConfigMap: a key that comes and one that goes', async t => {
    const map = await MountedFolder.create(t, { 'a.yaml': 'suppression: recipient' });
    const { live, reaches } = await watch(t, { DATABASE_URL, SMTP_RELAY_CONFIG: map.path });
    await map.replace({ 'b.yaml': 'limits: { recipients: 7 }' });
    await reaches(2);
    assert.deepEqual([live.current.suppression, live.current.limits.recipients], ['message', 7]);
  });

  it('of one file of a ConfigMap', async t => {
    const map = await MountedFolder.create(t, { 'relay.yaml': 'recipients: headers' });
    const { live, reaches } = await watch(t, { DATABASE_URL, SMTP_RELAY_CONFIG: map.file('relay.yaml') });
    await map.replace({ 'relay.yaml': 'recipients: envelope' });
    await reaches(2);
    assert.equal(live.current.recipients, 'envelope');
  });

  it('of a Secret: the directory, and NAME_FILE', async t => {
    const secrets = await MountedFolder.create(t, { TRACKING_SECRET: 'a'.repeat(16), other: 'ignored' });
    const login = await MountedFolder.create(t, { url: DATABASE_URL });
    const env = { SMTP_RELAY_SECRETS_DIR: secrets.path, DATABASE_URL_FILE: login.file('url') };
    const { live, reaches } = await watch(t, env);
    await secrets.replace({ TRACKING_SECRET: `${'b'.repeat(16)},${'a'.repeat(16)}` });
    await reaches(2);
    assert.deepEqual(live.current.tracking.secrets, ['b'.repeat(16), 'a'.repeat(16)]);
    const renewed = DATABASE_URL.replace('pa55word', 'renewed');
    await login.replace({ url: renewed });
    await reaches(3);
    assert.equal(live.current.databaseUrl, renewed);
  });

  it('that are the same again are no new generation', async t => {
    const map = await MountedFolder.create(t, { 'relay.yaml': 'limits: { connections: 5 }', x: '1' });
    const { live, logs, reaches } = await watch(t, { DATABASE_URL, SMTP_RELAY_CONFIG: map.path });
    await map.replace({ 'relay.yaml': 'limits: { connections: 5 }', x: '2' });
    await map.replace({ 'relay.yaml': 'limits: { connections: 9 }' });
    await reaches(2);
    assert.equal(live.status().generation, 2);
    assert.equal(logs.filter(({ msg }) => msg === 'new configuration in force').length, 1);
  });
});

describe('what cannot be used', () => {
  it('keeps the last good generation, and names file, line and key; once', async t => {
    const map = await MountedFolder.create(t, { 'relay.yaml': 'limits: { connections: 5 }' });
    const { live, logs, metric, reaches } = await watch(t, { DATABASE_URL, SMTP_RELAY_CONFIG: map.path });
    const bad = 'recipients: headers\nlimits:\n  connections: many\n';
    await map.replace({ 'relay.yaml': bad });
    await eventually(() => live.status().lastError);
    assert.deepEqual([live.current.limits.connections, live.current.recipients], [5, 'envelope']);
    const where = `limits.connections (file:${map.file('relay.yaml')}:3)`;
    assert.ok(live.status().lastError?.message.includes(where), live.status().lastError?.message);
    const lines = logs.filter(({ msg }) => msg === 'new configuration cannot be used; the last good one stays');
    assert.equal(lines.length, 1);
    const [problem] = (lines[0]?.['problems'] ?? []) as { setting: string; source: string }[];
    assert.deepEqual([problem?.setting, problem?.source], ['limits.connections', `file:${map.file('relay.yaml')}:3`]);
    assert.equal(await metric('smtp_relay_config_reload_failures_total'), 1);
    assert.equal(await metric('smtp_relay_config_last_reload_successful'), 0);
    assert.equal(await metric('smtp_relay_config_generation'), 1);

    await map.replace({ 'relay.yaml': bad.replace('many', '8') });
    await reaches(2);
    assert.deepEqual([live.current.limits.connections, live.status().lastError], [8, null]);
    assert.equal(await metric('smtp_relay_config_last_reload_successful'), 1);
  });

  it('is not told with the secrets in it', async t => {
    const secrets = await MountedFolder.create(t, { DATABASE_URL, TRACKING_SECRET: 'a'.repeat(16) });
    const { live, logs } = await watch(t, { SMTP_RELAY_SECRETS_DIR: secrets.path });
    await secrets.replace({ DATABASE_URL: 'mysql://relay:hidden@db', TRACKING_SECRET: 'hidden,' });
    await eventually(() => live.status().lastError);
    const message = live.status().lastError?.message ?? '';
    assert.match(message, /databaseUrl/);
    assert.match(message, /tracking\.secrets/);
    assert.doesNotMatch(message + JSON.stringify(logs), /hidden/);
  });

  it('is a part that goes only together with what takes a restart', async t => {
    const base = 'pipeline: standalone\ntransport: capture\n';
    const map = await MountedFolder.create(t, { 'relay.yaml': base });
    const { live } = await watch(t, { DATABASE_URL, SMTP_RELAY_CONFIG: map.path });
    const routes = 'routes:\n  - { domains: [a.test], transport: smtp }\nsmtp: { host: mail.test }\n';
    await map.replace({ 'relay.yaml': base + routes });
    await eventually(() => live.status().lastError);
    const message = live.status().lastError?.message ?? '';
    assert.match(message, /routes .*until a restart.*restart, so that smtp\.host count/);
    assert.deepEqual(live.current.routes, []);
  });
});

describe('what takes a restart', () => {
  it('stays as it is and is told of, beside what is taken over', async t => {
    const map = await MountedFolder.create(t, { 'relay.yaml': 'port: 2587' });
    const { live, logs, metric, reaches } = await watch(t, { DATABASE_URL, SMTP_RELAY_CONFIG: map.path });
    await map.replace({ 'relay.yaml': 'port: 2588\nlimits: { connections: 3 }' });
    await reaches(2);
    assert.deepEqual([live.current.port, live.current.limits.connections], [2587, 3]);
    assert.deepEqual(live.status().restartToApply, ['port']);
    assert.deepEqual(logs.at(-1)?.['restartToApply'], ['port']);
    assert.equal(await metric('smtp_relay_config_restart_pending_settings'), 1);
    await map.replace({ 'relay.yaml': 'port: 2587\nlimits: { connections: 3 }' });
    await reaches(3);
    assert.deepEqual(live.status().restartToApply, []);
    assert.equal(await metric('smtp_relay_config_restart_pending_settings'), 0);
  });

  it('of the database is all but user and password', async t => {
    const login = await MountedFolder.create(t, { url: DATABASE_URL });
    const { live, reaches } = await watch(t, { DATABASE_URL_FILE: login.file('url') });
    const renewed = DATABASE_URL.replace('relay:pa55word', 'other:renewed');
    await login.replace({ url: renewed });
    await reaches(2);
    assert.deepEqual([live.current.databaseUrl, live.status().restartToApply], [renewed, []]);
    await login.replace({ url: renewed.replace('db.example.com', 'elsewhere.example.com') });
    await reaches(3);
    assert.deepEqual([live.current.databaseUrl, live.status().restartToApply], [renewed, ['databaseUrl']]);
  });
});

it('the log level is the one in force, also for loggers that exist already', async t => {
  const map = await MountedFolder.create(t, { 'relay.yaml': 'logLevel: warn' });
  const { live } = await loadLiveConfig({ DATABASE_URL, SMTP_RELAY_CONFIG: map.path });
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line).msg) };
  const logger = createLogger({ level: () => live.current.logLevel, format: 'json', destination });
  const child = logger.child({ room: 'smtp' }).child({ session: 1 });
  t.after(live.watch({ logger: createLogger({ level: 'silent', format: 'json' }), registry: new Registry() }));
  const say = (): void => {
    child.debug('debug');
    child.info('info');
    child.warn('warn');
  };
  say();
  await map.replace({ 'relay.yaml': 'logLevel: debug' });
  await eventually(() => live.status().generation === 2);
  say();
  await map.replace({ 'relay.yaml': 'logLevel: silent' });
  await eventually(() => live.status().generation === 3);
  say();
  assert.deepEqual(lines, ['warn', 'debug', 'info', 'warn']);
});

it('knows which settings were given, in whatever source', async () => {
  const { live } = await loadLiveConfig({ DATABASE_URL, SMTP_RELAY_HTTP_PORT: '8080' });
  assert.deepEqual([live.isGiven('httpPort'), live.isGiven('publicPort')], [true, false]);
});

it('the environment alone is watched by nobody, and is one generation', async t => {
  const { live, metric } = await watch(t, { DATABASE_URL });
  assert.deepEqual(
    { ...live.status(), loadedAt: '' },
    { generation: 1, loadedAt: '', lastError: null, restartToApply: [] },
  );
  assert.equal(await metric('smtp_relay_config_generation'), 1);
});

it('what is made of a generation is made once', async t => {
  const directory = writeFiles(t, { 'relay.yaml': 'limits: { connections: 5 }' });
  const { live, reaches } = await watch(t, { DATABASE_URL, SMTP_RELAY_CONFIG: directory });
  let made = 0;
  const connections = perGeneration(live, ({ limits }) => {
    made += 1;
    return limits.connections;
  });
  assert.deepEqual([connections(), connections(), made], [5, 5, 1]);
  await writeFile(join(directory, 'relay.yaml'), 'limits: { connections: 6 }');
  await reaches(2);
  assert.deepEqual([connections(), connections(), made], [6, 6, 2]);
});
