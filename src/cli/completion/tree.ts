import type { Command, Option } from 'commander';

/** A command of the program, as a shell completes it. */
export interface CommandNode {
  /** Its words after the program's name, such as `keys create`; empty for the program itself. */
  readonly path: string;
  readonly commands: readonly Word[];
  readonly options: readonly OptionWord[];
}

interface Word {
  readonly name: string;
  readonly description: string;
}

interface OptionWord extends Word {
  /** A value follows. */
  readonly takesValue: boolean;
  /** The only values there are; none where it may be anything. */
  readonly choices: readonly string[];
}

/** Every command with what may follow it, the program first. */
export function commandNodes(program: Command, path = ''): CommandNode[] {
  const help = program.createHelp();
  const below = help.visibleCommands(program).filter(command => command.name() !== 'help');
  const node = {
    path,
    commands: below.map(command => ({ name: command.name(), description: firstSentence(command.description()) })),
    options: help.visibleOptions(program).flatMap(optionWords),
  };
  return [node, ...below.flatMap(command => commandNodes(command, `${path} ${command.name()}`.trim()))];
}

function optionWords(option: Option): OptionWord[] {
  const { long, description, required, optional, argChoices = [] } = option;
  if (!long) return [];
  const takesValue = required || optional;
  return [{ name: long, description: firstSentence(description), takesValue, choices: argChoices }];
}

/** Menus have little room. */
function firstSentence(text: string): string {
  return text.split(/[;:] /, 1)[0] as string;
}
