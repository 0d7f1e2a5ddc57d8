import { Argument, type Command } from 'commander';
import { type CliContext, examples } from '../command.ts';
import { renderCompletion, SHELLS, type Shell } from './shells.ts';
import { commandNodes } from './tree.ts';

/** `completion`, made from the commands there are. */
export function addCompletionCommand(program: Command, context: CliContext): void {
  examples(
    program
      .command('completion')
      .description('Print what makes a shell complete commands and options')
      .addArgument(new Argument('<shell>', 'which').choices(SHELLS))
      .action((shell: Shell) => void context.stdout.write(renderCompletion(shell, commandNodes(program)))),
    'completion bash > /etc/bash_completion.d/smtp-relay',
    'completion zsh > ~/.zfunc/_smtp-relay',
    'completion fish > ~/.config/fish/completions/smtp-relay.fish',
  );
}
