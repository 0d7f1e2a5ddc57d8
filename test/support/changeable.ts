import assert from 'node:assert/strict';
import { fixedConfig, type LiveConfig } from '../../src/config/live.ts';
import { nextGeneration } from '../../src/config/load.ts';
import { assembleConfig, type Config, type SettingName, settings } from '../../src/config/schema.ts';

export type Values = Readonly<Partial<Record<SettingName, unknown>>>;

/** The configuration of one running process, which a test changes as new files would. */
export class ChangeableConfig {
  readonly #listeners = new Set<(config: Config) => void>();
  #current: Config | null = null;

  /** For `startRelay` and `startWorker`. */
  readonly live = (first: Config): LiveConfig => {
    this.#current = first;
    const now = () => this.#current as Config;
    return {
      ...fixedConfig(first),
      get current() {
        return now();
      },
      onChange: listener => {
        this.#listeners.add(listener);
        return () => void this.#listeners.delete(listener);
      },
    };
  };

  /** All settings are reloadable, and have other values now; else the test is wrong. */
  change(values: Values): void {
    assert.ok(this.#current, 'nothing was started');
    const running = this.#current;
    const named = new Map(settings.map(({ name }) => [name, valueIn(running, name)]));
    for (const [name, value] of Object.entries(values)) named.set(name as SettingName, value);
    const config = assembleConfig(named);
    const next = nextGeneration(running, { config, settings: [], warnings: [] });
    assert.deepEqual([...next.changed].sort(), Object.keys(values).sort());
    assert.deepEqual(next.restartToApply, []);
    this.#current = next.config;
    for (const listener of this.#listeners) listener(next.config);
  }
}

function valueIn(config: Config, name: SettingName): unknown {
  return name.split('.').reduce<unknown>((node, key) => (node as Record<string, unknown>)[key], config);
}
