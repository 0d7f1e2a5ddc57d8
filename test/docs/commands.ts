/** A command as a document prints it. */
export interface Command {
  /** In one line, without comment and prompt. */
  readonly text: string;
  /** Its words, quotes resolved; the first is the program, `npx` left out. */
  readonly words: readonly string[];
  /** All of the line that it stands on, pipes and redirections included: what is pasted. */
  readonly line: string;
  /** It stands in a block, to be copied as it is; else in running text. */
  readonly isBlock: boolean;
}

const FENCED = /^ *```(?:sh|bash|shell)\n([\s\S]*?)^ *```$/gm;
const ANY_FENCED = /^ *```[\s\S]*?^ *```$/gm;
const INDENTED = /^ {4}((?:node|npx|npm|make|smtp-relay) .*)$/gm;
const INLINE =
  /`((?:npx smtp-relay|smtp-relay|node (?:bin|bench|examples)\/|make|npm run)(?: [^`\n]*|(?<=\/)[^`\n]*|))`/g;
/** Of others, with something behind the program's name. */
const INLINE_OF_OTHERS =
  /`((?:aws|cosign|curl|docker|git|go|helm|jq|kubectl|openssl|podman|psql|swaks) [a-z-][^`\n]*)`/g;
/** Outside quotes. */
const SEPARATOR = /(?: (?:\||;|&&) |; (?=do |done))(?=(?:[^']*'[^']*')*[^']*$)/;
const ASSIGNMENT = /^[A-Z][A-Z0-9_]*=/;

/** The commands of a Markdown document, in their order in each kind. */
export function commandsIn(markdown: string): Command[] {
  const blocks = [...markdown.matchAll(FENCED)].map(([, block = '']) => block);
  const prose = markdown.replaceAll(ANY_FENCED, '');
  const indented = [...prose.matchAll(INDENTED)].map(([, line = '']) => line);
  const inline = [INLINE, INLINE_OF_OTHERS].flatMap(form => [...prose.matchAll(form)].map(([, line = '']) => line));
  return [
    ...[...blocks.flatMap(linesOf), ...indented].flatMap(line => parse(line, true)),
    ...inline.flatMap(line => parse(line, false)),
  ];
}

/** Lines that end with a backslash, a pipe or within quotes go on. */
function linesOf(block: string): string[] {
  const lines: string[] = [];
  let open = '';
  for (const line of block.split('\n')) {
    const text = open === '' ? line.trim() : `${open} ${line.trim()}`;
    const goesOn = /[\\|]$/.test(text.trim()) || (text.match(/'/g)?.length ?? 0) % 2 === 1;
    open = goesOn ? text.replace(/\\$/, '').trim() : '';
    if (!goesOn && text !== '') lines.push(text);
  }
  return lines;
}

function parse(line: string, isBlock: boolean): Command[] {
  const whole = line.replace(/(?:^|\s)# .*$/, '').trim();
  return whole
    .split(SEPARATOR)
    .map(part => part.replace(/^do /, '').trim())
    .flatMap(text => {
      const words = wordsOf(text).filter(
        (word, index, all) => !(ASSIGNMENT.test(word) && all.slice(0, index).every(other => ASSIGNMENT.test(other))),
      );
      if (words[0] === 'npx') words.shift();
      const end = words.findIndex(word => /^\d?>/.test(word));
      const own = end === -1 ? words : words.slice(0, end);
      return own.length === 0 || own[0] === 'done' ? [] : [{ text, words: own, line: whole, isBlock }];
    });
}

/** Splits as a shell does, where there are no escapes. */
function wordsOf(text: string): string[] {
  return [...text.matchAll(/(?:[^\s"']|"[^"]*"|'[^']*')+/g)].map(([word]) => word.replaceAll(/["']/g, ''));
}
