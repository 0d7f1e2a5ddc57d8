import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { LoadedConfig } from '../../src/config/load.ts';
import type { ConfigProblem } from '../../src/config/problem.ts';
import { load, loadError, onlyProblem, sourceOf, writeFiles } from './support/fixtures.ts';

const FILE = 'relay.yaml';

function loadYaml(t: TestContext, text: string): LoadedConfig {
  return load({ SMTP_RELAY_CONFIG: join(writeFiles(t, { [FILE]: text }), FILE) });
}

/** The only problem of a file, with its source as `line <number>`. */
function yamlProblem(t: TestContext, text: string): ConfigProblem {
  const path = join(writeFiles(t, { [FILE]: text }), FILE);
  const problem = onlyProblem({ SMTP_RELAY_CONFIG: path });
  assert.ok(problem.source.startsWith(`file:${path}`), problem.source);
  return { ...problem, source: problem.source.replace(`file:${path}:`, 'line ') };
}

describe('a YAML file', () => {
  it('sets settings and groups, and says where each stands', t => {
    const path = join(writeFiles(t, { [FILE]: '# relay\nport: 2525\nlimits:\n  idleTimeout: 30s\n' }), FILE);
    const loaded = load({ SMTP_RELAY_CONFIG: path });
    assert.equal(loaded.config.port, 2525);
    assert.equal(loaded.config.limits.idleTimeout, 30_000);
    assert.equal(sourceOf(loaded, 'port'), `file:${path}:2`);
    assert.equal(sourceOf(loaded, 'limits.idleTimeout'), `file:${path}:4`);
    assert.equal(sourceOf(loaded, 'limits.recipients'), 'default');
  });

  it('takes quoted values, block scalars, aliases and JSON', t => {
    assert.equal(loadYaml(t, 'port: "2525"').config.port, 2525);
    assert.equal(loadYaml(t, 'hostname: |\n  smtp.example.com\n').config.hostname, 'smtp.example.com');
    const { limits } = loadYaml(t, 'limits: { idleTimeout: &time 30s, dataTimeout: *time }').config;
    assert.equal(limits.dataTimeout, 30_000);
    assert.equal(loadYaml(t, '{"port": 2525, "tls": {"implicitPort": 0}}').config.port, 2525);
  });

  it('takes a list of networks, as a list or with commas', t => {
    const expected = ['10.0.0.0/8', '2001:db8::/32'];
    const list = loadYaml(t, 'proxyProtocol:\n  networks:\n    - 10.0.0.0/8\n    - 2001:db8::/32\n');
    assert.deepEqual(list.config.proxyProtocol.networks, expected);
    const text = loadYaml(t, 'proxyProtocol:\n  networks: 10.0.0.0/8, 2001:db8::/32\n');
    assert.deepEqual(text.config.proxyProtocol.networks, expected);
    assert.deepEqual(loadYaml(t, 'proxyProtocol: { networks: [] }').config.proxyProtocol.networks, []);
  });

  for (const text of ['', '# nothing yet\n', '---\n', 'port:\n', 'port: null\n', 'limits:\n', 'limits: {}\n']) {
    it(`may leave everything unset: ${JSON.stringify(text)}`, t => {
      const loaded = loadYaml(t, text);
      assert.equal(loaded.config.port, 2587);
      assert.deepEqual(loaded.warnings, []);
    });
  }

  for (const text of ['0x10', '1e3', '2_525', '25x7', 'no', '2525.0', '~2525', '""']) {
    it(`meets the strict formats with what is written: port: ${text}`, t => {
      const problem = yamlProblem(t, `\nport: ${text}\n`);
      assert.equal(problem.setting, 'port');
      assert.equal(problem.source, 'line 2');
      assert.match(problem.why, new RegExp(`^"${text.replaceAll('"', '')}" is not a whole number$`));
    });
  }

  const unknownKeys: readonly (readonly [text: string, line: number, setting: RegExp, fix: RegExp])[] = [
    ['prot: 2525', 1, /"prot"/, /if port is meant/],
    ['limits:\n  recipents: 5', 2, /"limits\.recipents"/, /if limits\.recipients is meant.*indented below `limits:`/],
    ['tls:\n  cert_path: /x', 2, /"tls\.cert_path"/, /if tls\.certPath is meant/],
    ['certPath: /x', 1, /"certPath"/, /if tls\.certPath is meant/],
    ['SMTP_RELAY_LOG_LEVEL: debug', 1, /"SMTP_RELAY_LOG_LEVEL"/, /if logLevel is meant/],
    ['limits.recipients: 5', 1, /"limits\.recipients"/, /write it nested \(`recipients:`, indented below `limits:`\)/],
    ['zebra: 1', 1, /"zebra"/, /remove it; docs\/configuration\.md/],
    ['__proto__: 1', 1, /"__proto__"/, /remove it/],
    ['constructor:\n  prototype: 1', 1, /"constructor"/, /remove it/],
    ['<<: { port: 2525 }', 1, /"<<"/, /remove it/],
    ['? [port]\n: 2525', 1, /""/, /remove it/],
  ];
  for (const [text, line, setting, fix] of unknownKeys) {
    it(`names an unknown key and what may be meant: ${JSON.stringify(text)}`, t => {
      const problem = yamlProblem(t, text);
      assert.equal(problem.why, 'there is no such setting');
      assert.equal(problem.source, `line ${line}`);
      assert.match(problem.setting, setting);
      assert.match(problem.fix, fix);
    });
  }

  const broken: readonly (readonly [text: string, line: number, why: RegExp])[] = [
    ['port: 1\nport: 2\n', 2, /stands twice/],
    ['tls: yes\n', 1, /group of settings/],
    ['port:\n  number: 2525\n', 1, /one value, not a list or a group/],
    ['port: [2525]\n', 1, /one value, not a list or a group/],
    ['proxyProtocol:\n  networks: [[10.0.0.0/8]]\n', 2, /one value, not a list or a group/],
    ['port: *nowhere\n', 1, /one value, not a list or a group|not valid YAML/],
    ['- port: 2525\n', 1, /single value or a list/],
    ['2525\n', 1, /single value or a list/],
    ['host: 127.0.0.1\nport: 1\n---\nport: 2\n', 3, /more than one YAML document/],
    ['host: !secret x\n', 1, /YAML tag/],
    ['host: a: b\n', 1, /not valid YAML/],
    ['limits:\n\tidleTimeout: 5m\n', 2, /not valid YAML: Tabs/],
    ['{port: 2525\n', 2, /not valid YAML/],
  ];
  for (const [text, line, why] of broken) {
    it(`is refused with its line: ${JSON.stringify(text)}`, t => {
      const problem = yamlProblem(t, text);
      assert.match(problem.why, why);
      assert.equal(problem.source, `line ${line}`);
    });
  }

  it('is refused where it is not text', t => {
    for (const content of [Buffer.from([0x70, 0xff, 0xfe]), Buffer.from('port: 1\0')]) {
      const path = join(writeFiles(t, { [FILE]: content }), FILE);
      assert.match(onlyProblem({ SMTP_RELAY_CONFIG: path }).why, /not a text file in UTF-8/);
    }
  });

  it('is refused where it does not exist', () => {
    const problem = onlyProblem({ SMTP_RELAY_CONFIG: '/nonexistent/relay.yaml' });
    assert.equal(problem.setting, 'SMTP_RELAY_CONFIG');
    assert.equal(problem.source, 'env:SMTP_RELAY_CONFIG');
    assert.equal(problem.why, '/nonexistent/relay.yaml does not exist');
  });
});

describe('a directory of YAML files', () => {
  it('is read in the order of the names, and the later file wins', t => {
    const directory = writeFiles(t, {
      '20-site.yaml': 'port: 2\nhost: 127.0.0.2\n',
      '10-base.yml': 'port: 1\nlogLevel: warn\n',
      '30-last.yaml': 'port: 3\n',
    });
    const loaded = load({ SMTP_RELAY_CONFIG: directory });
    assert.equal(loaded.config.port, 3);
    assert.equal(loaded.config.host, '127.0.0.2');
    assert.equal(loaded.config.logLevel, 'warn');
    assert.equal(sourceOf(loaded, 'port'), `file:${join(directory, '30-last.yaml')}:1`);
  });

  it('is read as Kubernetes mounts a ConfigMap, each file once', t => {
    const directory = writeFiles(t, {
      '..2026_01_01/relay.yaml': 'port: 2525\n',
      '..2026_01_01/.hidden.yaml': 'zebra: 1\n',
    });
    symlinkSync('..2026_01_01', join(directory, '..data'));
    symlinkSync('..data/relay.yaml', join(directory, 'relay.yaml'));
    symlinkSync('..data/.hidden.yaml', join(directory, '.hidden.yaml'));
    assert.equal(load({ SMTP_RELAY_CONFIG: directory }).config.port, 2525);
  });

  it('is read without other files, and with a warning where nothing is left', t => {
    const directory = writeFiles(t, { 'README.md': '# {', 'relay.yaml.bak': '{' });
    const { warnings } = load({ SMTP_RELAY_CONFIG: directory });
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /holds no \*\.yaml or \*\.yml file/);
  });

  it('is refused with the problems of all its files', t => {
    const directory = writeFiles(t, { 'a.yaml': 'prot: 1\n', 'b.yaml': '{', 'd.yaml': 'port: x\nhost: "a b"\n' });
    mkdirSync(join(directory, 'c.yaml'));
    const { problems } = loadError({ SMTP_RELAY_CONFIG: directory });
    const expected = ['a.yaml:1', 'b.yaml:1', 'c.yaml', 'd.yaml:1', 'd.yaml:2'];
    assert.deepEqual(problems.map(({ source }) => source.replace(`file:${directory}/`, '')).sort(), expected);
    assert.match(problems.find(({ source }) => source.endsWith('c.yaml'))?.why ?? '', /is a directory/);
  });
});
