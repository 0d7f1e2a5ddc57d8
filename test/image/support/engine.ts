import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { env } from 'node:process';
import { promisify } from 'node:util';
import { createGzip } from 'node:zlib';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

export interface Container {
  readonly id: string;
  /** Runs a program in it. Rejects where that fails. @returns its standard output */
  exec(...command: string[]): Promise<string>;
  /** Asks it to end as Kubernetes does, and waits. @returns the exit code of the program */
  terminate(): Promise<number>;
  /** Standard output and standard error so far. */
  logs(): Promise<string>;
}

const { ENGINE = 'docker', IMAGE = 'opensend-smtp-relay:latest', RUN_FLAGS = '', BUILD_FLAGS = '', BASE = '' } = env;
const [PROGRAM = 'docker', ...GLOBAL] = ENGINE.split(' ');
const LIMIT = { timeout: 120_000, maxBuffer: 64 * 1024 * 1024 };

/** The images under test, as `make image` names them. */
export const images = { relay: IMAGE, demo: `${IMAGE}-demo` } as const;

/** A Kubernetes pod of the restricted profile has these too; ports are the host's, so that Postgres and SQS of the run are reached. */
const RESTRICTED = ['--read-only', '--cap-drop=all', '--security-opt=no-new-privileges', '--network=host'];
const FLAGS = [...RESTRICTED, ...RUN_FLAGS.split(' ').filter(Boolean)];

/** Runs docker or podman. @returns its standard output and standard error */
export function engine(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  return promisify(execFile)(PROGRAM, [...GLOBAL, ...args], LIMIT);
}

/** As the Makefile builds; what is typed comes after it, and counts. */
const BUILD = [
  ENGINE.includes('podman') ? '--format docker' : '',
  BUILD_FLAGS,
  BASE === '' ? '' : `--build-arg NODE_IMAGE=${BASE}`,
].join(' ');

/** A program that does what `docker` does where it is called so, by the engine under test and with the flags that it needs here. */
export const DOCKER = `#!/bin/sh
command=$1
shift
case $command in
  build) exec ${ENGINE} build ${BUILD} "$@" ;;
  run) exec ${ENGINE} run ${RUN_FLAGS} "$@" ;;
  *) exec ${ENGINE} "$command" "$@" ;;
esac
`;

/** What the engine knows of an image. */
export async function inspect(image: string): Promise<ImageFacts> {
  const { stdout } = await engine('image', 'inspect', image);
  return JSON.parse(stdout)[0];
}

export interface ImageFacts {
  readonly Config: {
    readonly User: string;
    readonly Env: readonly string[];
    readonly Entrypoint: readonly string[];
    readonly Cmd: readonly string[];
    readonly ExposedPorts: Readonly<Record<string, unknown>>;
    readonly Labels: Readonly<Record<string, string>>;
    readonly Healthcheck?: Healthcheck;
  };
  /** Where podman has it. */
  readonly Healthcheck?: Healthcheck;
}

interface Healthcheck {
  readonly Test: readonly string[];
}

/** Runs one command of the image to its end. Rejects where it fails. */
export async function runOnce(image: string, args: readonly string[], flags: readonly string[] = []): Promise<string> {
  const { stdout } = await engine('run', '--rm', ...FLAGS, ...flags, image, ...args);
  return stdout;
}

/** Starts a container, removed when the test ends. */
export async function start(
  t: TestContext,
  image: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  flags: readonly string[] = [],
): Promise<Container> {
  const variables = Object.entries(environment).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
  const { stdout } = await engine('run', '-d', ...FLAGS, ...flags, ...variables, image, ...args);
  const id = stdout.trim();
  t.after(async () => void (await engine('rm', '-f', id)));
  return {
    id,
    exec: async (...command) => (await engine('exec', id, ...command)).stdout,
    terminate: async () => {
      await engine('kill', '--signal=TERM', id);
      return Number((await engine('wait', id)).stdout.trim());
    },
    logs: async () => {
      const { stdout: out, stderr } = await engine('logs', id);
      return out + stderr;
    },
  };
}

/** @returns how many bytes an image is when compressed as for a registry */
export async function compressedSize(image: string): Promise<number> {
  const child = spawn(PROGRAM, [...GLOBAL, 'save', image], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let bytes = 0;
  for await (const chunk of child.stdout.pipe(createGzip())) bytes += chunk.length;
  const [code] = await exited;
  if (code !== 0) throw new Error(`the image could not be saved: exit code ${code}`);
  return bytes;
}
