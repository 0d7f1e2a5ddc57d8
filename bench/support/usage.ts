import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** What a process and its threads have used. */
export interface Usage {
  readonly cpuSeconds: number;
  readonly peakBytes: number;
  /** Resident just now. */
  readonly bytes: number;
}

/** Watches one process: exactly by /proc on Linux; elsewhere by asking `ps` a few times a second. */
export function watchUsage(pid: number): { read(): Usage; stop(): void } {
  if (process.platform === 'linux') return { read: () => readProc(pid), stop: () => {} };
  let peakBytes = 0;
  const read = () => {
    const { cpuSeconds, bytes } = askPs(pid);
    peakBytes = Math.max(peakBytes, bytes);
    return { cpuSeconds, peakBytes, bytes };
  };
  const timer = setInterval(read, 250);
  return { read, stop: () => clearInterval(timer) };
}

/** The unit of the times in /proc/<pid>/stat; 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** @param withEnded also the time of children that have ended and were waited for */
function readProc(pid: number, withEnded = false): Usage {
  const fields = statOf(pid);
  if (!fields) return GONE;
  const ticks = fields.slice(11, withEnded ? 15 : 13).reduce((sum, field) => sum + Number(field), 0);
  const status = textOf(`/proc/${pid}/status`);
  const sizeOf = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) * 1024;
  return { cpuSeconds: ticks / TICKS_PER_SECOND, peakBytes: sizeOf('VmHWM'), bytes: sizeOf('VmRSS') };
}

/**
 * What a process, its children and theirs have used, those that have ended among them; `peakBytes` is of those that are there, each at
 * its own highest. Linux only: elsewhere the process alone.
 */
export function usageOfTree(pid: number): Usage {
  if (process.platform !== 'linux') {
    const { cpuSeconds, bytes } = askPs(pid);
    return { cpuSeconds, bytes, peakBytes: bytes };
  }
  const children = childrenOf();
  const sum = (id: number): Usage => {
    const own = readProc(id, true);
    const others = (children.get(id) ?? []).map(sum);
    const total = (key: keyof Usage) => others.reduce((all, other) => all + other[key], own[key]);
    return { cpuSeconds: total('cpuSeconds'), peakBytes: total('peakBytes'), bytes: total('bytes') };
  };
  return sum(pid);
}

const GONE: Usage = { cpuSeconds: 0, peakBytes: 0, bytes: 0 };

function childrenOf(): Map<number, number[]> {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
    const parent = Number(statOf(Number(name))?.[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  return children;
}

/** The fields of /proc/<pid>/stat from the third on; undefined of a process that has just ended. */
function statOf(pid: number): string[] | undefined {
  const text = textOf(`/proc/${pid}/stat`);
  // The second field, the program's name in parentheses, may hold spaces.
  return text === '' ? undefined : text.replace(/^.*\) /s, '').split(' ');
}

/** Empty of a process that has just ended. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function askPs(pid: number): { cpuSeconds: number; bytes: number } {
  const line = execFileSync('ps', ['-o', 'rss=,time=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  const [kilobytes = '0', time = '0'] = line.split(/\s+/);
  const cpuSeconds = time.split(/[:-]/).reduce((total, part) => total * 60 + Number(part), 0);
  return { cpuSeconds, bytes: Number(kilobytes) * 1024 };
}
