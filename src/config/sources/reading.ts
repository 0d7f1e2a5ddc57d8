import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import type { ConfigProblem } from '../problem.ts';
import type { SettingName } from '../schema.ts';

/** The variable that names the YAML file or the directory of them. */
export const CONFIG_VARIABLE = 'SMTP_RELAY_CONFIG';

/** The variable that names the directory of secret files. */
export const SECRETS_VARIABLE = 'SMTP_RELAY_SECRETS_DIR';

/** A value that a source gives to a setting, as text. */
export interface Candidate {
  readonly name: SettingName;
  readonly text: string;
  /** Where the text stands: `env:NAME`, `file:path:line` or `secret:path`. */
  readonly source: string;
}

/** What was found in a source. Later candidates win over earlier ones of the same setting. */
export interface Reading {
  readonly candidates: Candidate[];
  readonly problems: ConfigProblem[];
  /** Sentences for the log; no secrets in them. */
  readonly warnings: string[];
}

export function emptyReading(): Reading {
  return { candidates: [], problems: [], warnings: [] };
}

/**
 * Reads a whole text file.
 *
 * @throws Error whose message says why it cannot be read, as a phrase that follows its path
 */
export function readText(path: string): string {
  let content: Buffer;
  try {
    content = readFileSync(path);
  } catch (error) {
    throw new Error(whyUnreadable(error), { cause: error });
  }
  if (!isUtf8(content) || content.includes(0)) throw new Error('is not a text file in UTF-8');
  return content.toString('utf8');
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist',
  EACCES: 'may not be read by the user that runs this process',
  EPERM: 'may not be read by the user that runs this process',
  EISDIR: 'is a directory',
};

/** Why a file or directory cannot be read, as a phrase that follows its path. */
export function whyUnreadable(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
  return REASONS[code] ?? `cannot be read (${code})`;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
