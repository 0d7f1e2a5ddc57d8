import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type LoadedConfig, type LoadOptions, loadConfig } from '../../../src/config/load.ts';
import { ConfigError, type ConfigProblem } from '../../../src/config/problem.ts';

export const DATABASE_URL = 'postgres://relay:pa55word@db.example.com/opensend';

/** Writes files below a new directory, which goes when the test ends. */
export function writeFiles(t: { after(done: () => void): void }, files: Record<string, string | Buffer>): string {
  const directory = mkdtempSync(join(tmpdir(), 'config-test-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    const path = join(directory, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
  return directory;
}

/** Loads with a database URL, so that only what a test sets can be wrong. */
export function load(env: NodeJS.ProcessEnv, options?: LoadOptions): LoadedConfig {
  return loadConfig({ DATABASE_URL, ...env }, options);
}

/** The error of a configuration that cannot be loaded. */
export function loadError(env: NodeJS.ProcessEnv, options?: LoadOptions): ConfigError {
  try {
    loadConfig({ DATABASE_URL, ...env }, options);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  return assert.fail('the configuration was accepted');
}

/** The only problem of a configuration. */
export function onlyProblem(env: NodeJS.ProcessEnv, options?: LoadOptions): ConfigProblem {
  const { problems, message } = loadError(env, options);
  const [problem] = problems;
  assert.ok(problem && problems.length === 1, message);
  return problem;
}

export function sourceOf(loaded: LoadedConfig, name: string): string | undefined {
  return loaded.settings.find(setting => setting.name === name)?.source;
}
