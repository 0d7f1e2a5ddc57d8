import { createInterface } from 'node:readline/promises';
import { Option } from 'commander';
import type { CliContext } from './command.ts';

export interface ConfirmOptions {
  readonly yes?: boolean;
}

/** Every command that removes something has it. */
export function yesOption(): Option {
  return new Option('--yes', 'do not ask first; without a terminal nobody is asked');
}

/** Whoever was asked did not say yes. */
export class NotConfirmed extends Error {
  override readonly name = 'NotConfirmed';
}

/**
 * Asks a person at a terminal before something is removed. Scripts are not asked: who has written the command down has thought of it.
 *
 * @param question what is about to happen, without its question mark
 * @throws NotConfirmed
 */
export async function confirm({ stdin, stderr }: CliContext, options: ConfirmOptions, question: string): Promise<void> {
  if (options.yes || !isTerminal(stdin) || !isTerminal(stderr)) return;
  const lines = createInterface({ input: stdin, output: stderr });
  // Ctrl-C and the end of what is typed are a no.
  const closed = new Promise<string>(resolve => lines.once('close', () => resolve('')));
  lines.once('SIGINT', () => lines.close());
  const answer = await Promise.race([lines.question(`${question}? [y/N] `), closed]).finally(() => lines.close());
  if (!/^y(?:es)?$/i.test(answer.trim())) throw new NotConfirmed('nothing was changed; --yes does not ask');
}

/** Whether a person reads or writes there. */
export function isTerminal(stream: NodeJS.ReadableStream | NodeJS.WritableStream): boolean {
  return 'isTTY' in stream && stream.isTTY === true;
}
