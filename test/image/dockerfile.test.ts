import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { MEMORY_ENVIRONMENT } from '../../bin/node24.js';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const DOCKERFILE = read('Dockerfile');
const HEALTHCHECK = fileURLToPath(new URL('../../image/healthcheck.js', import.meta.url));
const LAST_STAGE = DOCKERFILE.trimEnd().split('\n').at(-1);

test('the image has the Node that the project is tested with', () => {
  const { devDependencies } = JSON.parse(read('package.json'));
  const [, version] = /^ARG NODE_IMAGE=docker\.io\/library\/node:([\d.]+)-\w+-slim$/m.exec(DOCKERFILE) ?? [];
  assert.equal(version, devDependencies.node);
  assert.match(
    read('.github/workflows/release.yml'),
    new RegExp(`container: node:${version?.replaceAll('.', '\\.')}-`),
  );
});

test('every stage is made of the one base or of another stage', () => {
  const stages = [...DOCKERFILE.matchAll(/^FROM (\S+) AS (\S+)$/gm)].map(([, from, name]) => ({ from, name }));
  assert.equal(stages.length, DOCKERFILE.match(/^FROM /gm)?.length);
  const base = stages[0]?.from;
  assert.match(base ?? '', /^\$\{NODE_IMAGE\}$/);
  const known = new Set([base]);
  for (const { from, name } of stages) {
    assert.ok(known.has(from), from);
    known.add(name);
  }
  assert.equal(LAST_STAGE, 'FROM runtime AS relay');
});

test('what the image is copied from is in the build context, and nothing else is', () => {
  const lines = read('.dockerignore')
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'));
  assert.equal(lines[0], '*');
  const allowed = new Set(lines.filter(line => line.startsWith('!')).map(line => line.slice(1)));
  const copied = [...DOCKERFILE.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources = '']) =>
    sources.split(' '),
  );
  assert.ok(copied.length > 5);
  assert.deepEqual([...new Set(copied.map(path => path.split('/')[0] ?? ''))].sort(), [...allowed].sort());
});

test('the process gets the environment that bin/ would give it, and a user of no rights', () => {
  for (const [name, value] of Object.entries(MEMORY_ENVIRONMENT))
    assert.ok(DOCKERFILE.includes(`${name}=${value}`), name);
  const users = [...DOCKERFILE.matchAll(/^USER (\S+)$/gm)].map(([, user]) => user);
  assert.equal(users.at(-1), '1000:1000');
  assert.match(DOCKERFILE, /^ENTRYPOINT \["node", /m);
});

test('the health check asks /livez and nothing else', async t => {
  let status = 200;
  const paths: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    paths.push(request.url);
    response.writeHead(status).end();
  }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const check = (SMTP_RELAY_HTTP_PORT: string | number) =>
    checkHealth({ SMTP_RELAY_HTTP_PORT: `${SMTP_RELAY_HTTP_PORT}` });
  assert.equal(await check(port), 0);
  status = 503;
  assert.equal(await check(port), 1);
  assert.deepEqual(paths, ['/livez', '/livez']);
  assert.equal(await check(1), 1);
  assert.equal(await check(0), 0, 'there is no such listener');
});

async function checkHealth(env: Record<string, string>): Promise<number> {
  const host = { SMTP_RELAY_HTTP_HOST: '0.0.0.0' };
  const child = spawn(process.execPath, [HEALTHCHECK], { env: { ...host, ...env }, stdio: 'ignore' });
  const [code] = await once(child, 'exit');
  return code;
}
