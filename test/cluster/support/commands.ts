import { execFile } from 'node:child_process';
import { env } from 'node:process';
import { promisify } from 'node:util';

const { KUBECTL = 'kubectl' } = env;
/** The program that scenarios install by, where they do not choose another. */
export const { HELM = 'helm' } = env;
const MAX_OUTPUT = 64 * 1024 * 1024;

export interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  /** Milliseconds; five minutes unless given. */
  readonly timeout?: number;
}

/** Runs kubectl on the cluster of `KUBECONFIG`. @returns standard output @throws Error with what it said */
export async function kubectl(args: readonly string[], options: RunOptions = {}): Promise<string> {
  return (await run(KUBECTL, args, options)).stdout;
}

/** The same, for what fails with a reason: @returns both streams, also where the program failed */
export async function kubectlSays(args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { stdout, stderr } = await run(KUBECTL, args, options).catch((error: Output) => error);
  return stdout + stderr;
}

/** Runs `kubectl get -o json`. */
export async function get<T = KubernetesObject>(args: readonly string[]): Promise<T> {
  return JSON.parse(await kubectl(['get', ...args, '-o', 'json']));
}

/** Runs Helm, 3 or 4. @throws Error with what it said */
export async function helm(args: readonly string[], options: RunOptions = {}): Promise<string> {
  return (await run(HELM, args, options)).stdout;
}

export interface KubernetesObject {
  readonly metadata: {
    readonly name: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  // biome-ignore lint/suspicious/noExplicitAny: objects of all kinds, read at a few places
  readonly spec: any;
  // biome-ignore lint/suspicious/noExplicitAny: the same
  readonly status: any;
}

export interface KubernetesList {
  readonly items: readonly KubernetesObject[];
}

/** Runs a program. @throws Error with what it said */
export async function run(
  program: string,
  args: readonly string[],
  { input, timeout = 300_000 }: RunOptions = {},
): Promise<Output> {
  const running = promisify(execFile)(program, [...args], { maxBuffer: MAX_OUTPUT, timeout });
  if (input !== undefined) running.child.stdin?.end(input);
  try {
    return await running;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as Partial<Output>;
    throw Object.assign(new Error(`${program} ${args.join(' ')}: ${stderr || (error as Error).message}`), {
      stdout,
      stderr,
    });
  }
}
