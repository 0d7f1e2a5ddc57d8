/** A process that generates one load. It is told which by its parent, and answers when it measures and what it saw. */
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
  try {
    const result = await runLoad(load, () => tell({ type: 'measuring' }));
    tell({ type: 'result', result });
  } catch (error) {
    tell({ type: 'failed', reason: error instanceof Error ? error.message : String(error) });
  }
});
