import type { Command } from './commands.ts';
import { type Document, readDocuments } from './documents.ts';

/** A command, and the document that has it. */
export interface Found extends Command {
  readonly document: string;
}

interface Runner {
  /** The file that runs them: it asks `commandsFor` for them, or reads the document itself. */
  readonly by: string;
  takes(command: Found): boolean;
}

const OWN = new Set(['smtp-relay', 'node', 'make', 'npm', 'npx', 'biome']);
const SHELL = new Set(['aws', 'comm', 'curl', 'export', 'go', 'join', 'jq', 'openssl', 'sort', 'uniq', 'while']);
const CLUSTER = new Set(['helm', 'kubectl']);
/** What only pods that run can answer. */
const IN_PODS = /^kubectl (?:-n \S+ )?(?:exec|port-forward) |^helm test \S/;
/** What Helm 3 does not know. */
const OF_HELM_4 = /^helm .*--(?:server-side|force-conflicts)/;
/** What only a registry with a signed release can answer. */
const OF_A_RELEASE = /^(?:cosign|docker buildx imagetools) /;

/** In their order: the first one that takes a command runs it. */
export const RUNNERS: readonly Runner[] = [
  { by: 'test/docs/own-commands.test.ts', takes: ({ words: [program = ''] }) => OWN.has(program) },
  { by: 'test/docs/clients.test.ts', takes: ({ words: [program] }) => program === 'swaks' },
  { by: '.ci/two-commands', takes: ({ line }) => line === '. .dev/env' },
  { by: '.github/workflows/release.yml', takes: ({ line }) => OF_A_RELEASE.test(line) },
  { by: 'test/image/documents.ts', takes: ({ words: [program] }) => program === 'docker' },
  { by: 'test/cluster/migrations.scenario.ts', takes: ({ line }) => /^kubectl logs .*=migrate/.test(line) },
  {
    by: 'test/cluster/documents.scenario.ts',
    takes: ({ line, document }) => IN_PODS.test(line) || (document === 'docs/helm-4.md' && OF_HELM_4.test(line)),
  },
  { by: 'test/docs/kubernetes-commands.test.ts', takes: ({ words: [program = ''] }) => CLUSTER.has(program) },
  { by: 'test/docs/shell-commands.test.ts', takes: ({ words: [program = ''] }) => SHELL.has(program) },
];

const documents = await readDocuments();

export const allCommands: readonly Found[] = documents.flatMap(({ name, commands }: Document) =>
  commands.map(command => ({ ...command, document: name })),
);

export function runnerOf(command: Found): string | undefined {
  return RUNNERS.find(({ takes }) => takes(command))?.by;
}

/** The commands that a file has to run, in their order. @param by relative to the project */
export function commandsFor(by: string): readonly Found[] {
  return allCommands.filter(command => runnerOf(command) === by);
}

/** The same as lines, each once in its document. */
export function linesFor(by: string): readonly Found[] {
  const seen = new Set<string>();
  return commandsFor(by).filter(({ document, line }) => {
    const key = `${document}: ${line}`;
    return !seen.has(key) && seen.add(key);
  });
}
