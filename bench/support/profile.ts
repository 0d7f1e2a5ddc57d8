import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The parts of a V8 CPU profile that are used here (Chrome DevTools Protocol, Profiler.Profile). */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: CallFrame;
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  /** Microseconds between the samples. */
  readonly timeDeltas: readonly number[];
}

export interface CallFrame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const NOT_WORK = new Set(['(idle)', '(root)']);

/**
 * Where the time itself was spent, of each profile (one a thread) in a folder: Markdown, by package and by function, most
 * first.
 *
 * @param count how many functions a thread
 */
export async function topFunctions(directory: string, count: number): Promise<string> {
  const profiles = await readProfiles(directory);
  return profiles.map(({ name, profile }) => `${name}\n\n${describe(profile, count)}`).join('\n\n');
}

/** All of a folder, one a thread. */
export async function readProfiles(directory: string): Promise<{ name: string; profile: CpuProfile }[]> {
  const names = (await readdir(directory)).filter(name => name.endsWith('.cpuprofile')).sort();
  return Promise.all(
    names.map(async name => ({
      name,
      profile: JSON.parse(await readFile(join(directory, name), 'utf8')) as CpuProfile,
    })),
  );
}

/** Microseconds in which the thread had something to do. */
export function busyTime({ nodes, samples, timeDeltas }: CpuProfile): number {
  const work = new Set(nodes.filter(({ callFrame }) => isWork(callFrame)).map(({ id }) => id));
  return samples.reduce((sum, id, index) => sum + (work.has(id) ? (timeDeltas[index + 1] ?? 0) : 0), 0);
}

/** Whether a thread that is there has something to do. */
export function isWork({ functionName }: CallFrame): boolean {
  return !NOT_WORK.has(functionName);
}

const PACKAGES = 12;

function describe(profile: CpuProfile, count: number): string {
  const frames = new Map(profile.nodes.map(node => [node.id, node.callFrame]));
  const packages = new Map<string, number>();
  const functions = new Map<string, number>();
  let busy = 0;
  profile.samples.forEach((id, index) => {
    const frame = frames.get(id);
    // A sample's time runs until the next one.
    const time = profile.timeDeltas[index + 1] ?? 0;
    if (!frame || !isWork(frame)) return;
    busy += time;
    add(packages, packageOf(frame), time);
    add(functions, nameOf(frame), time);
  });
  return [
    `${(busy / 1e6).toFixed(2)} s busy`,
    ranking('package', packages, PACKAGES, busy),
    ranking('function', functions, count, busy),
  ].join('\n\n');
}

function add(times: Map<string, number>, name: string, time: number): void {
  times.set(name, (times.get(name) ?? 0) + time);
}

function ranking(title: string, times: ReadonlyMap<string, number>, count: number, total: number): string {
  const top = [...times].sort(([, a], [, b]) => b - a).slice(0, count);
  const rows = top.map(
    ([name, time]) => `| ${((time / total) * 100).toFixed(1)} | ${(time / 1000).toFixed(0)} | ${name} |`,
  );
  return [`| % | self ms | ${title} |`, '| ---: | ---: | --- |', ...rows].join('\n');
}

function nameOf(frame: CallFrame): string {
  const name = frame.functionName || '(anonymous)';
  return frame.url === '' ? name : `\`${name}\` ${fileOf(frame)}:${frame.lineNumber + 1}`;
}

/** A package of npm, a room of ours, a module of Node, or what V8 and native code do on their own. */
function packageOf(frame: CallFrame): string {
  const file = fileOf(frame);
  const inPackage = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1];
  if (inPackage !== undefined) return inPackage;
  if (file === '') return frame.functionName.startsWith('(') ? frame.functionName : 'native code';
  return /^(?:node:(?:internal\/)?[^/]+|[^/]+\/[^/]+)/.exec(file)?.[0] ?? file;
}

/** Below the project's folder where it is in there; empty for native code. */
export function fileOf({ url }: CallFrame): string {
  return url.startsWith('file:') ? relative(ROOT, fileURLToPath(url)) : url;
}
