import { KINDS, type KindName } from '../../src/declared/kinds/kinds.ts';
import { API_GROUP, API_VERSION, publishedSchema, type Schema } from '../../src/declared/kinds/schema.ts';

/*
 * Makes of the program's schemas what a ValidatingAdmissionPolicy can check of documents in a ConfigMap. CEL reads no YAML, so it goes line
 * by line: documents have to be written as kubectl, kustomize and helm write YAML (blocks, two spaces, apiVersion, kind, metadata, spec).
 * Then fields that are unknown, missing, or of another type are found. Not found are values that only the program can judge, twins, and what
 * names a file that is not there: `smtp-relay resources validate` finds all of it.
 */

interface Rule {
  readonly expression: string;
  readonly message: string;
}

/** A text of CEL in quotes. Backslashes stand for themselves: `r'…'`; no pattern of ours has the quote. */
const raw = (text: string): string => {
  if (text.includes("'")) throw new Error(`cannot be quoted: ${text}`);
  return `r'${text}'`;
};

const NAME = '"?[a-z0-9]([-a-z0-9.]*[a-z0-9])?"?';
const HEAD = `(#.*\\n)*apiVersion: "?${API_GROUP.replaceAll('.', '\\.')}/${API_VERSION}"?\\nkind: (${KINDS.join('|')})\\nmetadata:\\n(  .*\\n)*  name: ${NAME}\\n(  .*\\n)*spec:\\n`;

/** What the file `admission-rules.json` of the chart has. */
export function renderAdmissionRules(): string {
  const rules: Rule[] = [
    {
      expression: `variables.documents.all(d, d.matches(${raw(`^${HEAD}  [A-Za-z]`)}) && d.split('\\n').all(line, line.matches(${raw('^(apiVersion|kind|metadata|spec):|^ |^#|^$')})))`,
      message:
        'A document is not written as kubectl writes YAML: apiVersion relay.opensend.dev/v1alpha1, kind, metadata with name, and spec, in this order, in blocks with two spaces, and nothing else.',
    },
    ...KINDS.flatMap(rulesOf),
  ];
  return `${JSON.stringify(rules, null, 1)}\n`;
}

function rulesOf(kind: KindName): Rule[] {
  const { spec } = publishedSchema(kind).properties ?? {};
  if (!spec) throw new Error(`${kind} has no spec`);
  // Of a document that has another form nothing more is asked; it is refused for that.
  const those = `variables.documents.filter(d, d.matches(${raw(`(?m)^kind: ${kind}$`)}) && d.contains('\\nspec:\\n'))`;
  const body = "d.split('\\nspec:\\n')[1]";
  const lines = ['$', ' *#', ' *- ?\\S', ...linesOf(spec, 1)].join('|');
  const fields = Object.keys(spec.properties ?? {}).join(', ');
  const required = ((spec['required'] as readonly string[] | undefined) ?? []).map(name => has(name));
  const either = ((spec['oneOf'] as readonly { readonly required: readonly string[] }[] | undefined) ?? []).map(
    ({ required: [name = ''] }) => has(name),
  );
  const isComplete = [...required, ...(either.length === 2 ? [either.join(' != ')] : [])].map(part => `(${part})`);
  return [
    {
      expression: `${those}.all(d, ${body}.split('\\n').all(line, line.matches(${raw(`^(${lines})`)})))`,
      message: `A ${kind} has a field that there is not, or one of another type, or has values beside their names as in {…}. Known are ${fields}.`,
    },
    ...(isComplete.length > 0
      ? [
          {
            expression: `${those}.all(d, ${isComplete.join(' && ')})`,
            message: `A ${kind} lacks a field that it needs, or has two of which it may have one: compare it with docs/schemas.`,
          },
        ]
      : []),
  ];
}

const has = (field: string): string => `d.matches(${raw(`(?m)^  ${field}:`)})`;

/** What a line of a group may be, by how deep it is. */
function linesOf(group: Schema, depth: number): string[] {
  return Object.entries(group.properties ?? {}).flatMap(([name, field]) => {
    const start = `${' '.repeat(2 * depth)}${name}:`;
    if (field.properties) return [`${start}$`, ...linesOf(field, depth + 1)];
    return [`${start}${typeOf(field)}`];
  });
}

function typeOf(field: Schema): string {
  const choice = field['enum'] as readonly string[] | undefined;
  if (choice) return ` "?(${choice.map(word => word.replaceAll('*', '\\*')).join('|')})"?$`;
  switch (field['type']) {
    case 'boolean':
      return ' (true|false)$';
    case 'integer':
      return ' [0-9]+$';
    case 'array':
      return '( \\[.*\\])?$';
    default:
      return ' [^{[\\s]';
  }
}
