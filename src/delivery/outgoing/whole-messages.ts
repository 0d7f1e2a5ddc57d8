import { createTurns, type TurnsOptions } from '../../flow/turns.ts';

/** Gives back the room that a message takes. */
export type Release = () => void;

/** Room for large messages that have to be in memory as a whole, on top of what all others take. */
export interface WholeMessages {
  /** Waits until there is room; owners take turns. A message that is larger than all room has it alone. */
  enter(owner: string, bytes: number): Promise<Release>;
}

export function createWholeMessages(options: TurnsOptions): WholeMessages {
  const turns = createTurns(options);
  return {
    enter: (owner, bytes) =>
      new Promise((resolve, reject) => {
        const stay = () => new Promise<void>(leave => resolve(leave));
        turns.add(owner, bytes, stay).catch(reject);
      }),
  };
}
