import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

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

function readProc(pid: number): Usage {
  // The second field, the program's name in parentheses, may hold spaces.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  const [userTicks = 0, systemTicks = 0] = fields.slice(11, 13).map(Number);
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const sizeOf = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) * 1024;
  const cpuSeconds = (userTicks + systemTicks) / TICKS_PER_SECOND;
  return { cpuSeconds, peakBytes: sizeOf('VmHWM'), bytes: sizeOf('VmRSS') };
}

function askPs(pid: number): { cpuSeconds: number; bytes: number } {
  const line = execFileSync('ps', ['-o', 'rss=,time=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  const [kilobytes = '0', time = '0'] = line.split(/\s+/);
  const cpuSeconds = time.split(/[:-]/).reduce((total, part) => total * 60 + Number(part), 0);
  return { cpuSeconds, bytes: Number(kilobytes) * 1024 };
}
