/** A process that generates one load. It is told which by its parent, and answers when it measures and what it saw. */
import { yieldToMainThread } from '../../src/platform/helper-threads.ts';
import type { Load, LoadResult } from '../support/load.ts';
import { runLoad } from '../support/load.ts';

export type GeneratorMessage =
  | { readonly type: 'measuring' }
  | { readonly type: 'result'; readonly result: LoadResult }
  | { readonly type: 'failed'; readonly reason: string };

function tell(message: GeneratorMessage): void {
  process.send?.(message);
}

process.on('disconnect', () => process.exit(1));
process.once('message', async (load: Load) => {
  // What collects its garbage is not to hold up the relay, which is measured.
  await yieldToMainThread();
  try {
    const result = await runLoad(load, () => tell({ type: 'measuring' }));
    tell({ type: 'result', result });
  } catch (error) {
    tell({ type: 'failed', reason: error instanceof Error ? error.message : String(error) });
  }
});
