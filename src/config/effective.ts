import type { Format } from './formats/format.ts';
import type { LoadedConfig } from './load.ts';
import { hideCredentials } from './problem.ts';
import { settings } from './schema.ts';

/** A setting as `config print` shows it. */
export interface EffectiveSetting {
  readonly name: string;
  readonly env: string;
  /** The value as it could be written, `***` for a secret, and without credentials inside URLs. */
  readonly value: string;
  /** `default`, `file:path:line`, `secret:path` or `env:NAME`. */
  readonly source: string;
  readonly reloadable: boolean;
}

/** The effective settings, in the order of the reference and fit to be shown to anyone. */
export function renderEffective(loaded: Pick<LoadedConfig, 'settings'>): EffectiveSetting[] {
  const formats = new Map(settings.map(({ name, format }) => [name, format]));
  return loaded.settings.map(({ name, env, value, source, sensitive, reloadable }) => {
    return { name, env, value: show(formats.get(name), value, sensitive), source, reloadable };
  });
}

function show(format: Format<unknown> | undefined, value: unknown, sensitive: boolean): string {
  if (format?.show) return format.show(value);
  const text = format?.print(value) ?? '';
  return sensitive && text !== '' ? '***' : hideCredentials(text);
}
