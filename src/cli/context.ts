import type { Logger } from '../observability/log.ts';

/** What a command has of the process it runs in. */
export interface CliContext {
  readonly env: NodeJS.ProcessEnv;
  /** For what the command answers: tables, or one JSON document. */
  readonly stdout: NodeJS.WritableStream;
  /** For what people read beside the answer: notes, errors. */
  readonly stderr: NodeJS.WritableStream;
  /** From now on, being asked to end (SIGTERM, Ctrl-C) aborts this signal; until then it ends the process. */
  readonly takeSignals: () => AbortSignal;
  /** From now on, SIGHUP calls this and does not end the process. */
  readonly onHangUp: (listener: () => void) => void;
  /** From now on, errors that nobody caught are logged here, and the process goes on. */
  readonly surviveFaults: (logger: Logger) => void;
}
