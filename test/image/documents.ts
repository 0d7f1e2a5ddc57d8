import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { arch, tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import { after, before, describe, it } from 'node:test';
import { freePort } from '../../dev/ports.ts';
import type { Pipeline } from '../../src/store/schema/pipeline.ts';
import { ROOT } from '../docs/documents.ts';
import { type Pasted, paste, programs, type Shell } from '../docs/shell.ts';
import { linesFor } from '../docs/who-runs.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { createQueue, sqsEnv } from '../support/queue.ts';
import { DOCKER, engine, images } from './support/engine.ts';

/*
 * What the documents have one type with docker, pasted as it stands: by the engine, and with the images, that `make test-image` tries,
 * which runs this too.
 */

const QUICK_START = await readFile(join(ROOT, 'docs/quick-start.md'), 'utf8');
const NAME = /(?<=\s)opensend-smtp-relay(:latest-demo)?(?=\s|$)/g;
/** Milliseconds of what `docker run` starts. */
const PATIENCE = 60_000;
const STARTED = /"msg":"(?:listening|working)"|ready to accept connections/;
const { BASE } = env;
/** Which Node image to build on: that of `make image`, else that of the Dockerfile. */
const base = BASE || /^ARG NODE_IMAGE=(\S+)/m.exec(await readFile(join(ROOT, 'Dockerfile'), 'utf8'))?.[1] || '';

const of = (document: string) => linesFor('test/image/documents.ts').filter(found => found.document === document);

class Engine {
  readonly parts = new AsyncDisposableStack();
  shell!: Shell;

  async start(): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'smtp-relay-docker-'));
    this.parts.defer(() => rm(folder, { recursive: true, force: true }));
    this.shell = { folder, env: { PATH: await programs(folder, [], { docker: DOCKER }) } };
  }

  /** Pastes a line, which has to succeed. The images are those under test. */
  async paste(line: string, cwd?: string): Promise<Pasted> {
    const typed = line.replaceAll(NAME, (_, demo) => (demo ? images.demo : images.relay));
    const pasted = await paste(typed, this.shell, cwd);
    assert.equal(pasted.code, 0, `${typed}: ${pasted.stderr}`);
    return pasted;
  }
}

describe('with Docker, by docs/quick-start.md', { concurrency: 1 }, () => {
  const docker = new Engine();
  const lines = of('docs/quick-start.md');
  const [cleanUp] = lines.filter(({ isBlock }) => !isBlock);
  const ports = new Map<string, number>();
  let key = '';

  /** Ports that a reader has free may be somebody's here. */
  const filledIn = (line: string) =>
    line.replace(/127\.0\.0\.1:(\d+):/g, (_, port) => `127.0.0.1:${ports.get(port)}:`).replace('<key>', key);

  before(async () => {
    await docker.start();
    for (const port of ['2587', '8025']) ports.set(port, await freePort());
    const [, settings = ''] = /in a file `mail\.env`:\n\n```text\n([\s\S]*?)^```$/m.exec(QUICK_START) ?? [];
    await writeFile(join(docker.shell.folder, 'mail.env'), settings);
    docker.parts.defer(async () => void (await engine('network', 'rm', '-f', 'mail').catch(() => {})));
    docker.parts.defer(async () => void (await paste(cleanUp?.line ?? '', docker.shell)));
  });
  after(() => docker.parts.disposeAsync());

  it('says how all of it is removed', () => assert.match(cleanUp?.line ?? '', /^docker rm -f /));

  for (const { line } of lines.filter(({ isBlock }) => isBlock)) {
    it(line, async () => {
      // The relay waits for its database, and commands for the relay.
      const { stdout } = await eventually(() => docker.paste(filledIn(line)), line.includes(' exec ') ? PATIENCE : 1);
      key = /os_live_\w+/.exec(stdout)?.[0] ?? key;
      if (line.endsWith('--wait')) assert.match(stdout, /250 2\.0\.0 Ok: queued as[\s\S]*sent/);
    });
  }

  it('and the inbox shows the message to whoever has the token', async () => {
    const [, token] = /^SMTP_RELAY_INBOX_TOKEN=(.+)$/m.exec(QUICK_START) ?? [];
    const ask = (headers: Record<string, string>) =>
      fetch(`http://localhost:${ports.get('8025')}/api/messages`, { headers });
    assert.equal((await ask({})).status, 401);
    const answer = await ask({ authorization: `Bearer ${token}` });
    const { messages } = (await answer.json()) as { messages: object[] };
    assert.equal(messages.length, 1);
  });
});

describe('with Docker, by docs/image.md', { concurrency: 1 }, () => {
  const docker = new Engine();
  const platform = `linux/${arch() === 'arm64' ? 'arm64' : 'amd64'}`;
  const built = `${images.relay}-documents`;
  const databases: Record<Pipeline, string> = { opensend: '', standalone: '' };
  let queueUrl = '';
  /** What `docker exec` is about: the relay that the first lines start. */
  let container = '';

  /** The host's network stands for one on which there are Postgres and SQS. What goes on to run is left behind. */
  function filledIn(line: string): string {
    const environment = Object.entries(sqsEnv()).map(([name, value]) => `-e ${name}=${value}`);
    const detached = runsOn(line) ? '-d' : '';
    return line
      .replace('linux/amd64', platform)
      .replace('-t opensend-smtp-relay', `-t ${built}`)
      .replace(/registry\.example\.com\S+/, base)
      .replace('docker run --rm', `docker run --rm ${detached} --network=host ${environment.join(' ')}`)
      .replace('postgres://...', databases[pipelineOf(line)])
      .replace('https://sqs...', queueUrl)
      .replace('<container>', container);
  }

  before(async () => {
    await docker.start();
    const t = { after: (fn: () => Promise<void>) => docker.parts.defer(fn) };
    databases.opensend = await createDatabase(t, { pipeline: 'opensend' });
    databases.standalone = await createDatabase(t, { empty: true });
    queueUrl = (await createQueue(t)).url;
    docker.parts.defer(async () => void (await engine('rmi', '-f', built).catch(() => {})));
  });
  after(() => docker.parts.disposeAsync());

  for (const { line } of of('docs/image.md')) {
    it(line, async () => {
      const { stdout } = await docker.paste(filledIn(line), ROOT);
      if (!runsOn(line)) return;
      const id = stdout.trim();
      docker.parts.defer(async () => void (await engine('rm', '-f', id)));
      container ||= id;
      await eventually(async () => {
        const { stdout: out, stderr } = await engine('logs', id);
        return STARTED.test(out + stderr);
      }, PATIENCE);
    });
  }
});

/** As the program has it where nothing is said. */
function pipelineOf(line: string): Pipeline {
  return line.includes('PIPELINE=standalone') ? 'standalone' : 'opensend';
}

function runsOn(line: string): boolean {
  return /^docker run .*(?:-relay|worker|demo-postgres)$/.test(line);
}
