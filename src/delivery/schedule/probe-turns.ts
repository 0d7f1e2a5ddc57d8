import type { Logger } from '../../observability/log.ts';
import { type Probes, RENEW_PROBE_EVERY } from '../../store/delivery/probes.ts';

/** The leave to try a way out that is shut; no other worker has it at the same time. */
export interface ProbeTurn {
  /** A try begins, however long it takes. */
  begin(): void;
  /** What came of it: that it works, that it does not and for how many milliseconds it is to be left alone, or nothing. */
  end(result: 'works' | { readonly pauseMs: number } | null): void;
}

/** In place of a turn: how many milliseconds others are waited for; or that they have found that it works. */
export type TurnAnswer = ProbeTurn | { readonly waitMs: number } | 'works';

/** Asks for the turn to try one way out. Never rejects. @param shutForMs milliseconds since it was last found shut */
export type AskForTurn = (shutForMs: number) => Promise<TurnAnswer>;

export interface ProbeTurnsDependencies {
  readonly probes: Pick<Probes, 'ask' | 'renew' | 'end'>;
  readonly logger: Logger;
}

const ALONE: ProbeTurn = { begin: () => {}, end: () => {} };

/** Has the workers agree through Postgres on who tries a way out. While it cannot be asked, each decides for itself. */
export function createProbeTurns({ probes, logger }: ProbeTurnsDependencies): (way: string) => AskForTurn {
  const onFault = (error: unknown): void =>
    logger.warn({ err: error }, 'workers do not agree just now on who tries a way out that is shut');

  function turnOf(way: string, probe: string): ProbeTurn {
    let renewal: NodeJS.Timeout | undefined;
    return {
      begin() {
        renewal = setInterval(() => void probes.renew(way, probe).catch(onFault), RENEW_PROBE_EVERY).unref();
      },
      end(result) {
        clearInterval(renewal);
        const works = result === 'works';
        const pauseMs = result === null || works ? 0 : result.pauseMs;
        probes.end(way, probe, { works, pauseMs }).catch(onFault);
      },
    };
  }

  return way => async shutForMs => {
    try {
      const answer = await probes.ask(way, shutForMs);
      if (answer.kind === 'granted') return turnOf(way, answer.probe);
      return answer.kind === 'works' ? 'works' : { waitMs: answer.waitMs };
    } catch (error) {
      onFault(error);
      return ALONE;
    }
  };
}
