import type { CommandNode } from './tree.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;

export type Shell = (typeof SHELLS)[number];

const RENDERERS: Readonly<Record<Shell, (nodes: readonly CommandNode[]) => string>> = { bash, zsh, fish };

/** A script for the shell, which completes commands, their options, and values of options that are a choice. */
export function renderCompletion(shell: Shell, nodes: readonly CommandNode[]): string {
  return `# smtp-relay completion ${shell}\n${RENDERERS[shell](nodes)}`;
}

/** Each word that leads on from a command, as `<command> <word>`: other words are arguments. */
function steps(nodes: readonly CommandNode[]): string[] {
  return nodes.filter(({ path }) => path !== '').map(({ path }) => (path.includes(' ') ? path : ` ${path}`));
}

function choices(nodes: readonly CommandNode[]) {
  return nodes.flatMap(({ path, options }) =>
    options
      .filter(option => option.choices.length > 0)
      .map(({ name, choices: values }) => ({ place: `${path}:${name}`, values })),
  );
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function alternatives(texts: readonly string[]): string {
  return texts.map(quote).join('|');
}

function bash(nodes: readonly CommandNode[]): string {
  const values = choices(nodes).map(
    ({ place, values: words }) => `    ${quote(place)}) words=${quote(words.join(' '))} ;;`,
  );
  const words = nodes.map(({ path, commands, options }) => {
    const all = [...commands, ...options].map(({ name }) => name).join(' ');
    return `      ${quote(path)}) words=${quote(all)} ;;`;
  });
  return `_smtp_relay() {
  local current=\${COMP_WORDS[COMP_CWORD]} command= word words=
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$command $word" in
      ${alternatives(steps(nodes))}) command="\${command:+$command }$word" ;;
    esac
  done
  case "$command:\${COMP_WORDS[COMP_CWORD-1]}" in
${values.join('\n')}
    *) case "$command" in
${words.join('\n')}
    esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _smtp_relay smtp-relay
`;
}

function zsh(nodes: readonly CommandNode[]): string {
  const described = ({ name, description }: { name: string; description: string }) => quote(`${name}:${description}`);
  const values = choices(nodes).map(
    ({ place, values: words }) => `    ${quote(place)}) found=(${words.map(quote).join(' ')}) ;;`,
  );
  const words = nodes.map(({ path, commands, options }) => {
    return `      ${quote(path)}) found=(${[...commands, ...options].map(described).join(' ')}) ;;`;
  });
  return `#compdef smtp-relay
_smtp_relay() {
  local command= word
  local -a found
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$command $word" in
      ${alternatives(steps(nodes))}) command="\${command:+$command }$word" ;;
    esac
  done
  case "$command:\${words[CURRENT-1]}" in
${values.join('\n')}
    *) case "$command" in
${words.join('\n')}
    esac ;;
  esac
  _describe smtp-relay found || _files
}
compdef _smtp_relay smtp-relay
`;
}

function fish(nodes: readonly CommandNode[]): string {
  const lines = nodes.flatMap(({ path, commands, options }) => {
    const at = `complete -c smtp-relay -n ${quote(`test (__smtp_relay_command) = "${path}"`)}`;
    return [
      ...commands.map(({ name, description }) => `${at} -f -a ${name} -d ${quoteFish(description)}`),
      ...options.map(({ name, description, takesValue, choices: values }) => {
        const value = values.length > 0 ? ` -x -a ${quote(values.join(' '))}` : takesValue ? ' -r' : '';
        return `${at} -l ${name.slice(2)}${value} -d ${quoteFish(description)}`;
      }),
    ];
  });
  return `function __smtp_relay_command
  set -l command ''
  for word in (commandline -opc)[2..-1]
    switch "$command $word"
      case ${steps(nodes).map(quote).join(' ')}
        set command (string trim "$command $word")
    end
  end
  echo "$command"
end
${lines.join('\n')}
`;
}

/** In single quotes fish reads a backslash. */
function quoteFish(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
