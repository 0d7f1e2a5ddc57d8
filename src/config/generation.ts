import { checkTogether } from './check.ts';
import type { LoadedConfig } from './load.ts';
import { ConfigError } from './problem.ts';
import { assembleConfig, type Config, type SettingName, settingIn, settings } from './schema.ts';

/** What a running process makes of a configuration that was loaded anew. */
export interface Generation {
  /** What can be taken over is new, everything else is as it was. */
  readonly config: Config;
  /** The settings that are other ones now than in the generation before. */
  readonly changed: readonly SettingName[];
  /** The settings whose new values count after a restart only. */
  readonly restartToApply: readonly SettingName[];
}

/**
 * Takes over what can be taken over.
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

/** What was loaded is right as a whole; a part of it, beside what is running, may not be. */
function requireConsistency(config: Config, loaded: LoadedConfig, restartToApply: readonly SettingName[]): void {
  const sources = new Map(loaded.settings.map(({ name, source }) => [name, source]));
  const sourceOf = (name: SettingName): string => sources.get(name) ?? 'default';
  const { problems } = checkTogether(config, sourceOf, new Set(), { tlsFiles: false });
  if (problems.length === 0) return;
  const fix = `restart, so that ${restartToApply.join(', ')} count as well`;
  throw new ConfigError(problems.map(problem => ({ ...problem, why: `${problem.why} until a restart`, fix })));
}
