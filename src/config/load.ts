import { checkTogether } from './check.ts';
import { FormatError } from './formats/format.ts';
import { ConfigError, type ConfigProblem, quote } from './problem.ts';
import { assembleConfig, type Config, type NamedSetting, type SettingName, settingIn, settings } from './schema.ts';
import { readEnvironment, readNamedFiles, readSecretsDirectory, usableEnvironment } from './sources/environment.ts';
import { readConfigFiles } from './sources/files.ts';
import { type Candidate, CONFIG_VARIABLE, SECRETS_VARIABLE } from './sources/reading.ts';

/** A setting, its effective value, and where that came from. */
export interface LoadedSetting {
  readonly name: SettingName;
  /** The environment variable. */
  readonly env: string;
  /** The effective value itself, secrets too: print it only through `renderEffective`. */
  readonly value: unknown;
  /** `default`, `file:path:line`, `secret:path` or `env:NAME`. */
  readonly source: string;
  readonly sensitive: boolean;
  readonly reloadable: boolean;
  readonly default: unknown;
  readonly doc: string;
  /** What may be written, in words. */
  readonly format: string;
}

export interface LoadedConfig {
  readonly config: Config;
  readonly settings: readonly LoadedSetting[];
  /** Sentences for the log; no secrets in them. */
  readonly warnings: readonly string[];
}

export interface LoadOptions {
  /** The settings that must have a value: `databaseUrl`, unless given. */
  readonly require?: readonly SettingName[];
  /** Whether the TLS files are read and tried; false is for commands that never listen. True unless given. */
  readonly checkTlsFiles?: boolean;
}

const REQUIRED: readonly SettingName[] = settings.filter(({ required }) => required).map(({ name }) => name);

/**
 * Loads the configuration from its four sources, each of which wins over those before it: the defaults, the YAML files
 * of `SMTP_RELAY_CONFIG`, secret files (`SMTP_RELAY_SECRETS_DIR`, then `NAME_FILE`), the environment.
 *
 * @throws ConfigError that lists everything that is wrong, in all sources
 */
export function loadConfig(env: NodeJS.ProcessEnv, options: LoadOptions = {}): LoadedConfig {
  const { variables, warnings } = usableEnvironment(env);
  const readings = [
    readConfigFiles(variables.get(CONFIG_VARIABLE)),
    readSecretsDirectory(variables.get(SECRETS_VARIABLE)),
    readNamedFiles(variables),
    readEnvironment(variables),
  ];
  const parsed = parseAll(readings.flatMap(({ candidates }) => candidates));
  const problems = [...readings.flatMap(reading => reading.problems), ...parsed.problems];
  const wrong = new Set(problems.map(({ setting }) => setting));

  const config = assembleConfig(parsed.values);
  const sourceOf = (name: SettingName): string => parsed.sources.get(name) ?? 'default';
  const checked = checkTogether(config, sourceOf, wrong, { tlsFiles: options.checkTlsFiles ?? true });
  const isGiven = (name: SettingName): boolean => wrong.has(name) || !isMissing(parsed.values.get(name));
  const missing = (options.require ?? REQUIRED).filter(name => !isGiven(name) && !substitutesOf(name).some(isGiven));
  problems.push(...missing.map(describeMissing), ...checked.problems);
  if (problems.length > 0) throw new ConfigError(problems);

  return Object.freeze({
    config,
    settings: Object.freeze(settings.map(setting => loadedSetting(setting, parsed.values, sourceOf))),
    warnings: Object.freeze([...warnings, ...readings.flatMap(reading => reading.warnings), ...checked.warnings]),
  });
}

interface Parsed {
  readonly values: Map<SettingName, unknown>;
  readonly sources: Map<SettingName, string>;
  readonly problems: ConfigProblem[];
}

/** Parses every candidate, also those that a later one wins over: a wrong value is wrong wherever it stands. */
function parseAll(candidates: readonly Candidate[]): Parsed {
  const byName = new Map(settings.map(setting => [setting.name, setting]));
  const parsed: Parsed = { values: new Map(), sources: new Map(), problems: [] };
  for (const { name, text, source } of candidates) {
    const setting = byName.get(name);
    if (!setting) continue;
    try {
      parsed.values.set(name, setting.format.parse(text));
      parsed.sources.set(name, source);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      const value = setting.sensitive ? 'the value (not shown, it is a secret)' : quote(text);
      parsed.problems.push({
        setting: name,
        source,
        why: `${value} ${error.message}`,
        fix: `write ${setting.format.expected}`,
      });
    }
  }
  return parsed;
}

function isMissing(value: unknown): boolean {
  return value === undefined || value === '';
}

/** The settings that do in the place of one, best first. */
function substitutesOf(name: SettingName): SettingName[] {
  const wanted = settings.find(setting => setting.name === name)?.substitute;
  const substitute = settings.find(setting => setting.name === wanted)?.name;
  return substitute === undefined ? [] : [substitute, ...substitutesOf(substitute)];
}

function describeMissing(name: SettingName): ConfigProblem {
  const variable = (wanted: SettingName) => settings.find(setting => setting.name === wanted)?.env;
  const env = variable(name);
  const others = substitutesOf(name).map(other => `, or ${variable(other)} in its place`);
  const fix = `set ${env}, or ${env}_FILE to a file that holds it, or ${name} in a file of ${CONFIG_VARIABLE}${others.join('')}`;
  return { setting: name, source: 'not set', why: 'it has no value, and nothing works without it', fix };
}

function loadedSetting(
  setting: NamedSetting,
  values: ReadonlyMap<SettingName, unknown>,
  sourceOf: (name: SettingName) => string,
): LoadedSetting {
  const { name, env, doc, format, reloadable } = setting;
  return Object.freeze({
    name,
    env,
    value: values.has(name) ? values.get(name) : setting.default,
    source: sourceOf(name),
    sensitive: setting.sensitive ?? false,
    reloadable,
    default: setting.default,
    doc,
    format: format.expected,
  });
}

/** What a running process makes of a configuration that was loaded anew. */
export interface Generation {
  /** Settings that can change while the process runs are new, all others as they were. */
  readonly config: Config;
  /** The settings that are other ones now than in the generation before. */
  readonly changed: readonly SettingName[];
  /** The settings whose new values count after a restart only. */
  readonly restartToApply: readonly SettingName[];
}

/**
 * Makes the next generation, with the new values of all settings that can change while the process runs.
 *
 * @throws ConfigError where the new values do not go together with those that stay until a restart
 */
export function nextGeneration(running: Config, loaded: LoadedConfig): Generation {
  const values = new Map<SettingName, unknown>();
  const changed: SettingName[] = [];
  const restartToApply: SettingName[] = [];
  for (const setting of settings) {
    const { name, format, reloadable } = setting;
    const [before, wanted] = [settingIn(running, name), settingIn(loaded.config, name)];
    const after = reloadable ? (setting.takeOver?.(before, wanted) ?? wanted) : before;
    const isSame = (one: unknown, other: unknown): boolean => format.print(one) === format.print(other);
    values.set(name, after);
    if (!isSame(after, before)) changed.push(name);
    if (!isSame(after, wanted)) restartToApply.push(name);
  }
  const config = assembleConfig(values);
  if (restartToApply.length > 0) requireConsistency(config, loaded, restartToApply);
  return { config, changed, restartToApply };
}

/** The loaded configuration is right as a whole; the part of it that counts now may not go with the rest that is running. */
function requireConsistency(config: Config, loaded: LoadedConfig, restartToApply: readonly SettingName[]): void {
  const sources = new Map(loaded.settings.map(({ name, source }) => [name, source]));
  const sourceOf = (name: SettingName): string => sources.get(name) ?? 'default';
  const { problems } = checkTogether(config, sourceOf, new Set(), { tlsFiles: false });
  if (problems.length === 0) return;
  const fix = `restart, so that ${restartToApply.join(', ')} count as well`;
  throw new ConfigError(problems.map(problem => ({ ...problem, why: `${problem.why} until a restart`, fix })));
}
