import { CommanderError } from 'commander';
import { ConfigError } from '../config/problem.ts';
import { StoreError } from '../postgres/errors.ts';
import { explainDatabaseError, isDatabaseRefusal } from '../postgres/explain.ts';
import { ForeignInstallation, PipelineMismatch, PipelineUnstated } from '../store/schema/pipeline.ts';

/** Exit codes that scripts can rely on. */
const EXIT = { ok: 0, failure: 1, usage: 2, refused: 3, interrupted: 130 } as const;

export const EXIT_CODES_HELP = `
Exit codes:
  0  done
  1  it failed: database unreachable, not found, something missing, ...
  2  wrong usage or wrong configuration
  3  the database refuses: its password, its name, its certificate or its rights are wrong, and trying again does not help
  130  interrupted by Ctrl-C or SIGTERM`;

/** The command did its work, and what it looked at is not as it should be. The answer says what; the text is for people. */
export class CheckFailed extends Error {
  readonly code = 'CHECK';

  constructor(message: string) {
    super(message);
    this.name = 'CheckFailed';
  }
}

/** Somebody has ended it before it was done. The text says what is done, and how to go on. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

export interface Failure {
  /** One sentence for people; null where it is said already. */
  readonly message: string | null;
  readonly exitCode: number;
}

/** What an error means to the person who typed the command. */
export function explain(error: unknown): Failure {
  if (error instanceof CommanderError) return { message: null, exitCode: error.exitCode === 0 ? EXIT.ok : EXIT.usage };
  if (isMisconfigured(error)) return usage(error.message);
  if (error instanceof StoreError) return explainStore(error);
  if (error instanceof Interrupted) return { message: error.message, exitCode: EXIT.interrupted };
  const message = explainFault(error) ?? explainFile(error) ?? (error instanceof Error ? error.message : String(error));
  return { message, exitCode: isDatabaseRefusal(error) ? EXIT.refused : EXIT.failure };
}

function explainStore({ code, message, see }: StoreError): Failure {
  const text = see === null ? message : `${message}; see: smtp-relay ${see} list`;
  return code === 'invalid' ? usage(text) : failure(text);
}

function isMisconfigured(error: unknown): error is Error {
  return [ConfigError, PipelineMismatch, ForeignInstallation, PipelineUnstated].some(kind => error instanceof kind);
}

function explainFault(error: unknown): string | null {
  const fault = explainDatabaseError(error);
  return fault && [fault.what, fault.remedy].filter(Boolean).join('; ');
}

/** Of files that somebody has named. */
const FILE_FAULTS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder: mend the path',
  ENOTDIR: 'a part of the path is no folder: mend the path',
  EACCES: 'this account may not open it: give it the right to, or name another',
  EISDIR: 'it is a folder: name a file',
};

function explainFile(error: unknown): string | null {
  const { code = '', path } = error instanceof Error ? (error as NodeJS.ErrnoException) : {};
  const fault = FILE_FAULTS[code];
  return fault === undefined || path === undefined ? null : `${path}: ${fault}`;
}

function usage(message: string): Failure {
  return { message, exitCode: EXIT.usage };
}

function failure(message: string): Failure {
  return { message, exitCode: EXIT.failure };
}
