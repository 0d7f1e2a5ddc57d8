import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

/** Bytes. V8 lets it grow to 128 MiB, of which handshakes touch half, and it stays for as long as nothing is asked for. */
const LIMIT = 8 * 1024 * 1024;
/** V8's own. */
const GROWTH = 2;

/**
 * Keeps V8's space for new objects small: what is young there is mostly what one turn of the event loop has made. V8's
 * option for it is for the start of a process only, and no program can give it to itself.
 *
 * @param limit bytes
 * @returns ends it
 */
export function limitYoungGeneration(limit = LIMIT): () => void {
  let growth = GROWTH;
  const grow = (factor: number): void => {
    if (factor === growth) return;
    growth = factor;
    setFlagsFromString(`--semi-space-growth-factor=${factor}`);
  };
  // It grows behind collections only.
  const look = (): void => grow(youngBytes() < limit ? GROWTH : 1);
  const observer = new PerformanceObserver(look);
  observer.observe({ entryTypes: ['gc'] });
  look();
  return () => {
    observer.disconnect();
    grow(GROWTH);
  };
}

function youngBytes(): number {
  return getHeapSpaceStatistics().find(space => space.space_name === 'new_space')?.space_size ?? 0;
}
