import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import { test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { linesFor } from '../docs/who-runs.ts';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const WORKFLOW = parse(read('.github/workflows/release.yml'));
const SCRIPTS: readonly { name: string; run: string }[] = Object.values(
  WORKFLOW.jobs as Record<string, { steps: { name?: string; run?: string }[] }>,
).flatMap(({ steps }) => steps.flatMap(({ name = '', run }) => (run === undefined ? [] : [{ name, run }])));
const scriptOf = (name: string): string => SCRIPTS.find(step => step.name === name)?.run ?? assert.fail(name);

test('each step of a release is a script that a shell can read', () => {
  assert.ok(SCRIPTS.length > 6);
  for (const { name, run } of SCRIPTS) {
    const { status, stderr } = spawnSync('bash', ['-n'], { input: run.replaceAll(/\$\{\{.*?\}\}/g, 'x') });
    assert.equal(status, 0, `${name}: ${stderr}`);
  }
});

test('plain manifests get the digest of the image, whichever tag they have', () => {
  const [, expression = ''] = /sed -E "(.+)" >/.exec(scriptOf("Plain manifests with the image's digest, signed")) ?? [];
  const [image, version, digest] = ['ghcr.io/opensend/opensend-smtp-relay', '1.2.3', `sha256:${'a'.repeat(64)}`];
  const filled = expression
    .replaceAll('\\"', '"')
    .replaceAll('$IMAGE', image)
    .replaceAll('$version', version)
    .replaceAll('$digest', digest);
  for (const overlay of readdirSync(new URL('../../k8s/overlays', import.meta.url))) {
    const text = readdirSync(new URL(`../../k8s/overlays/${overlay}`, import.meta.url))
      .map(name => read(`k8s/overlays/${overlay}/${name}`))
      .concat(read('k8s/base/all.yaml'))
      .join('\n---\n');
    const { stdout, status } = spawnSync('sed', ['-E', filled], { input: text, encoding: 'utf8' });
    assert.equal(status, 0);
    const images = [...stdout.matchAll(/image: (\S*opensend-smtp-relay\S*)/g)].map(([, found]) => found);
    assert.ok(images.length > 0, overlay);
    for (const found of images) assert.equal(found, `${image}:${version}@${digest}`);
  }
});

test('a key for the chart becomes an annotation, whatever Chart.yaml ends with', () => {
  assert.match(scriptOf('The chart, signed'), /printf ' {2}artifacthub\.io\/signKey: \|\\n/);
  const chart = parse(
    `${read('charts/opensend-smtp-relay/Chart.yaml')}  artifacthub.io/signKey: |\n    fingerprint: X\n    url: Y\n`,
  );
  assert.deepEqual(parse(chart.annotations['artifacthub.io/signKey']), { fingerprint: 'X', url: 'Y' });
});

test('the policies to paste admit what the workflow signs, and are of one mind', () => {
  const identity = String.raw`^https://github\.com/opensend/opensend-smtp-relay/\.github/workflows/release\.yml@refs/tags/v.+$`;
  const [kyverno] = parseAllDocuments(read('k8s/policies/kyverno.yaml')).map(each => each.toJS());
  const [verified] = kyverno.spec.rules[0].verifyImages;
  const { keyless } = verified.attestors[0].entries[0];
  const [sigstore] = parseAllDocuments(read('k8s/policies/sigstore.yaml')).map(each => each.toJS());
  const [authority] = sigstore.spec.authorities;
  for (const { issuer, subjectRegExp } of [keyless, authority.keyless.identities[0]]) {
    assert.equal(issuer, 'https://token.actions.githubusercontent.com');
    assert.equal(subjectRegExp, identity);
  }
  assert.match(
    'https://github.com/opensend/opensend-smtp-relay/.github/workflows/release.yml@refs/tags/v1.2.3',
    new RegExp(identity),
  );
  const { image } = parse(read('charts/opensend-smtp-relay/values.yaml'));
  const name = `${image.registry}/${image.repository}`;
  assert.equal(verified.imageReferences[0], `${name}*`);
  assert.equal(sigstore.spec.images[0].glob, `${name}**`);
});

test('OpenVEX statements have what the format asks for', () => {
  const vex = JSON.parse(read('image/openvex.json'));
  assert.equal(vex['@context'], 'https://openvex.dev/ns/v0.2.0');
  for (const field of ['@id', 'author', 'timestamp', 'version']) assert.ok(vex[field], field);
  assert.ok(vex.statements.length > 0);
  for (const { vulnerability, products, status, justification, impact_statement: impact } of vex.statements) {
    assert.match(vulnerability.name, /^(?:CVE-\d{4}-\d{4,}|GHSA(?:-\w{4}){3})$/);
    assert.equal(status, 'not_affected');
    assert.match(justification, /^(?:component|vulnerable_code)_not_(?:present|in_execute_path)$/);
    assert.ok(impact.length > 20);
    for (const { '@id': id } of products) assert.match(id, /^pkg:oci\/opensend-smtp-relay\?repository_url=ghcr\.io\//);
  }
});

test('what docs/image.md has people verify is tried before there is a release', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'smtp-relay-release-'));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const name of ['docs', 'dist', 'programs']) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'docs/image.md'), read('docs/image.md'));
  for (const name of ['cosign', 'docker']) {
    writeFileSync(join(folder, 'programs', name), `#!/bin/sh\necho "${name} $*" >> '${folder}/calls'\n`, {
      mode: 0o755,
    });
  }
  const { status, stderr } = spawnSync(
    'bash',
    ['-euo', 'pipefail', '-c', scriptOf('What docs/image.md has people verify')],
    {
      cwd: folder,
      encoding: 'utf8',
      env: {
        PATH: `${join(folder, 'programs')}:${env['PATH']}`,
        GITHUB_REF_NAME: 'v4.5.6',
        GITHUB_REPOSITORY: 'acme/mail',
        IMAGE: 'ghcr.io/acme/opensend-smtp-relay',
      },
    },
  );
  assert.equal(status, 0, stderr);
  const calls = readFileSync(join(folder, 'calls'), 'utf8').trim().split('\n');
  const commands = linesFor('.github/workflows/release.yml');
  assert.equal(calls.length, commands.length);
  for (const [index, { line }] of commands.filter(({ isBlock }) => isBlock).entries()) {
    const typed = line.replaceAll('<owner>', 'acme').replaceAll('<repository>', 'mail').replaceAll('1.2.3', '4.5.6');
    assert.equal(calls[index], typed.replaceAll("'", ''));
  }
  const identity = calls.filter(call => call.startsWith('cosign')).map(call => /identity-regexp (\S+)/.exec(call)?.[1]);
  assert.deepEqual([...new Set(identity)], [identity[0]], 'one identity in all');
  assert.match(identity[0] ?? '', /^\^https:\/\/github\\\.com\/acme\/mail\//);
});
