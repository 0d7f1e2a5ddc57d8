import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseDocument,
  type YAMLError,
} from 'yaml';
import { nearest, quote } from '../problem.ts';
import { type NamedSetting, settings } from '../schema.ts';
import { CONFIG_VARIABLE, emptyReading, messageOf, type Reading, readText, whyUnreadable } from './reading.ts';

/**
 * Reads the YAML files: one file, or all `*.yaml` and `*.yml` of a directory in the order of their names, where a later
 * file wins over an earlier one. Names that begin with a dot are left out: Kubernetes keeps `..data` there.
 *
 * @param path what `SMTP_RELAY_CONFIG` says; undefined where it is not set
 */
export function readConfigFiles(path: string | undefined): Reading {
  const reading = emptyReading();
  if (path === undefined) return reading;
  const files = findFiles(path, reading);
  for (const file of files) readFile(file, reading);
  return reading;
}

function findFiles(path: string, reading: Reading): string[] {
  try {
    const files = yamlFiles(path);
    if (files.length === 0) {
      reading.warnings.push(
        `${CONFIG_VARIABLE}: the directory ${path} holds no *.yaml or *.yml file; nothing was read from it.`,
      );
    }
    return files;
  } catch (error) {
    reading.problems.push({
      setting: CONFIG_VARIABLE,
      source: `env:${CONFIG_VARIABLE}`,
      why: `${path} ${whyUnreadable(error)}`,
      fix: `mount the file or directory there, correct ${CONFIG_VARIABLE}, or unset it`,
    });
    return [];
  }
}

/** Whether a file of the directory is read, by its name. */
export function isConfigFile(name: string): boolean {
  return /^[^.].*\.ya?ml$/.test(name);
}

function yamlFiles(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path)
    .filter(isConfigFile)
    .sort()
    .map(name => join(path, name));
}

function readFile(path: string, reading: Reading): void {
  let text: string;
  try {
    text = readText(path);
  } catch (error) {
    reading.problems.push({
      setting: CONFIG_VARIABLE,
      source: `file:${path}`,
      why: `the file ${messageOf(error)}`,
      fix: 'make it a readable YAML file, or remove it',
    });
    return;
  }
  readYaml(path, text, reading);
}

const SETTINGS: ReadonlyMap<string, NamedSetting> = new Map(settings.map(setting => [setting.name, setting]));
const GROUPS: ReadonlySet<string> = new Set(settings.flatMap(({ name }) => name.split('.').slice(0, -1)));

/**
 * Reads one YAML document into candidates. Scalars are taken as they are written, not as YAML resolves them, so that
 * `0x10`, `1e3` and `yes` meet the same strict formats as text from the environment. A key without a value is not set.
 *
 * @param path only for messages
 */
function readYaml(path: string, text: string, reading: Reading): void {
  const lines = new LineCounter();
  // Pretty errors would quote the line, which may hold a secret. Equal keys are reported by name below.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
  const at = (offset: number): string => `file:${path}:${lines.linePos(offset).line}`;

  const syntaxErrors = [...document.errors, ...document.warnings];
  for (const error of syntaxErrors) {
    const fix = 'correct the YAML; a text with special characters needs quotes';
    reading.problems.push({ setting: CONFIG_VARIABLE, source: at(error.pos[0]), why: describe(error), fix });
  }
  const root = document.contents;
  if (syntaxErrors.length > 0 || root === null || (isScalar(root) && root.value === null)) return;
  new YamlReader(document, at, reading).readRoot(root);
}

/** Codes whose messages are fixed text. The others repeat part of the file, which may be a secret. */
const FIXED_TEXT = new Set([
  'BAD_INDENT',
  'BLOCK_AS_IMPLICIT_KEY',
  'BLOCK_IN_FLOW',
  'MISSING_CHAR',
  'MULTILINE_IMPLICIT_KEY',
  'TAB_AS_INDENT',
]);

function describe(error: YAMLError): string {
  const { code } = error;
  if (code === 'MULTIPLE_DOCS') return 'the file holds more than one YAML document';
  if (code === 'TAG_RESOLVE_FAILED') return 'the file uses a YAML tag (!…), which has no meaning here';
  return FIXED_TEXT.has(code)
    ? `the file is not valid YAML: ${whyNotYaml(error)}`
    : `the file is not valid YAML (${code})`;
}

/** Why a text is not YAML: a sentence of the parser, or its code for it. Never carries anything of the text. */
export function whyNotYaml({ code, message }: YAMLError): string {
  return FIXED_TEXT.has(code) ? message : code;
}

/** Levels of a structure; no setting has as many. */
const DEEPEST = 8;

class YamlReader {
  readonly #document: Document;
  readonly #at: (offset: number) => string;
  readonly #reading: Reading;

  constructor(document: Document, at: (offset: number) => string, reading: Reading) {
    this.#document = document;
    this.#at = at;
    this.#reading = reading;
  }

  readRoot(root: unknown): void {
    if (isMap(root)) {
      this.#readMap(root.items, '');
    } else {
      const why = 'the file does not hold settings, but a single value or a list';
      this.#problem(CONFIG_VARIABLE, this.#at(0), why, 'write it as `setting: value` lines');
    }
  }

  #readMap(pairs: readonly Pair[], prefix: string): void {
    const seen = new Set<string>();
    for (const pair of pairs) {
      const key = isScalar(pair.key) ? String(pair.key.value) : '';
      const name = prefix + key;
      const source = this.#at(offsetOf(pair.key));
      if (seen.has(key)) {
        this.#problem(name, source, 'the key stands twice in the same file', 'remove one of them');
      }
      seen.add(key);
      // A dotted key would be a second way to write a nested one.
      if (key.includes('.')) this.#unknownKey(name, source);
      else this.#readPair(name, this.#resolve(pair.value), source);
    }
  }

  #readPair(name: string, value: unknown, source: string): void {
    const setting = SETTINGS.get(name);
    if (setting) this.#readSetting(setting, value, source);
    else if (!GROUPS.has(name)) this.#unknownKey(name, source);
    else if (isMap(value)) this.#readMap(value.items, `${name}.`);
    else if (!isUnset(value)) this.#groupWithoutKeys(name, source);
  }

  #groupWithoutKeys(group: string, source: string): void {
    const keys = settings.filter(({ name }) => name.startsWith(`${group}.`)).map(({ name }) => lastKey(name));
    const fix = `write one or more of ${keys.join(', ')} below it`;
    this.#problem(group, source, 'it is a group of settings, not a setting', fix);
  }

  #readSetting(setting: NamedSetting, value: unknown, source: string): void {
    const { name, format } = setting;
    if (isUnset(value)) return;
    if (isScalar(value)) {
      this.#reading.candidates.push({ name, text: written(value), source });
    } else if (format.structure) {
      this.#reading.candidates.push({ name, text: JSON.stringify(this.#plain(value, name, source)), source });
    } else if (isSeq(value) && format.list && value.items.every(item => isScalar(this.#resolve(item)))) {
      const text = value.items.map(item => written(this.#resolve(item))).join(',');
      this.#reading.candidates.push({ name, text, source });
    } else {
      this.#problem(name, source, 'it takes one value, not a list or a group of keys', `write ${format.expected}`);
    }
  }

  /** Lists and groups with their scalars as they are written; a key without a value is left out. */
  #plain(node: unknown, name: string, source: string, depth = 0): unknown {
    const value = this.#resolve(node);
    if (isUnset(value)) return null;
    if (isScalar(value)) return written(value);
    if (depth > DEEPEST) {
      this.#problem(name, source, 'it is nested too deeply', 'write it without an alias to what it stands in');
      return null;
    }
    if (isSeq(value)) {
      return value.items.map((item, index) => this.#plain(item, `${name}[${index}]`, source, depth + 1));
    }
    if (!isMap(value)) return null;
    const keys = value.items.map(({ key }) => (isScalar(key) ? String(key.value) : ''));
    for (const key of new Set(keys.filter((entry, index) => keys.indexOf(entry) < index))) {
      this.#problem(`${name}.${key}`, source, 'the key stands twice in the same group', 'remove one of them');
    }
    return Object.fromEntries(
      value.items.map((pair, index) => {
        const key = keys[index] ?? '';
        return [key, this.#plain(pair.value, `${name}.${key}`, source, depth + 1)];
      }),
    );
  }

  #unknownKey(name: string, source: string): void {
    const suggestion = nearest(name, [...SETTINGS.keys(), ...GROUPS]);
    const fix =
      suggestion === undefined ? 'remove it; docs/configuration.md lists all settings' : howToWrite(suggestion, name);
    this.#problem(quote(name), source, 'there is no such setting', fix);
  }

  #problem(setting: string, source: string, why: string, fix: string): void {
    this.#reading.problems.push({ setting, source, why, fix });
  }

  #resolve(node: unknown): unknown {
    return isAlias(node) ? node.resolve(this.#document) : node;
  }
}

function howToWrite(suggestion: string, name: string): string {
  const [group, key] = suggestion.split('.');
  const place = key === undefined ? '' : ` (\`${key}:\`, indented below \`${group}:\`)`;
  const advice = suggestion === name ? 'write it nested' : `if ${suggestion} is meant, write it so`;
  return `${advice}${place}; else remove it`;
}

function lastKey(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}

function offsetOf(node: unknown): number {
  return isScalar(node) || isMap(node) || isSeq(node) || isAlias(node) ? (node.range?.[0] ?? 0) : 0;
}

function isUnset(value: unknown): boolean {
  return value === null || (isScalar(value) && value.value === null);
}

/** A scalar as it is written: without quotes, and without the line break that ends a block scalar. */
function written(node: unknown): string {
  if (!isScalar(node)) return '';
  return (node.source ?? String(node.value)).replace(/\r?\n$/, '');
}
