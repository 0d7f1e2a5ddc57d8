import { cpuUsage, threadCpuUsage } from 'node:process';

/** Starts counting. @returns tells how many milliseconds of CPU this process has taken since then, whatever runs beside it */
export function countCpu(): () => number {
  const began = cpuUsage();
  return () => {
    const { user, system } = cpuUsage(began);
    return (user + system) / 1000;
  };
}

/** The same of the thread that asks, alone. */
export function countThreadCpu(): () => number {
  const began = threadCpuUsage();
  return () => {
    const { user, system } = threadCpuUsage(began);
    return (user + system) / 1000;
  };
}
