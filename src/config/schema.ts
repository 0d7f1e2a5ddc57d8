import convict from 'convict';
import { delivery } from './sections/delivery.ts';
import { events } from './sections/events.ts';
import { inbox } from './sections/inbox.ts';
import { bounds } from './sections/limits.ts';
import { listening } from './sections/listening.ts';
import { logging } from './sections/logging.ts';
import { messages } from './sections/messages.ts';
import { operator } from './sections/operator.ts';
import { declaration } from './sections/resources.ts';
import { storage } from './sections/storage.ts';
import { defaultEnvName, isSetting, type NamesOf, type Setting, type ValuesOf } from './setting.ts';

const schema = {
  ...storage,
  ...listening,
  ...messages,
  ...bounds,
  ...delivery,
  ...events,
  ...inbox,
  ...operator,
  ...declaration,
  ...logging,
};

/** Every setting's effective value. Sizes are in bytes, durations in milliseconds. Deeply frozen once loaded. */
export type Config = ValuesOf<typeof schema>;

/** The name of a setting: `port`, `tls.certPath`. */
export type SettingName = NamesOf<typeof schema>;

/** A setting with its name, its environment variable, and the section of the reference that it stands in. */
export interface NamedSetting extends Omit<Setting<unknown>, 'reloadable'> {
  readonly reloadable: boolean;
  readonly name: SettingName;
  readonly env: string;
  readonly section: string;
}

function flatten(section: string, node: object, prefix = ''): NamedSetting[] {
  return Object.entries(node).flatMap(([key, child]: [string, object]) => {
    const name = prefix + key;
    if (!isSetting(child)) return flatten(section, child, `${name}.`);
    const { reloadable = false } = child;
    return [{ env: defaultEnvName(name), ...child, reloadable, doc: docOf(child), name: name as SettingName, section }];
  });
}

function docOf({ doc, standaloneOnly }: Setting<unknown>): string {
  return standaloneOnly === undefined ? doc : `${doc} Standalone pipeline only.`;
}

/** All settings, in the order of the reference. */
export const settings: readonly NamedSetting[] = [
  ...flatten('Database and queue', storage),
  ...flatten('Listening', listening),
  ...flatten('Messages', messages),
  ...flatten('Limits', bounds),
  ...flatten('Delivery', delivery),
  ...flatten('Events, tracking and webhooks', events),
  ...flatten('Inbox', inbox),
  ...flatten("Operator's page", operator),
  ...flatten('Declared resources', declaration),
  ...flatten('Logging', logging),
];

/**
 * Puts values, already parsed, over the defaults. convict holds the tree, fills in the defaults and checks that every
 * value is one its format can write, and that no other key exists.
 *
 * @throws Error where a value does not fit its setting: a fault of the program, since text was checked when it was parsed
 */
export function assembleConfig(values: ReadonlyMap<SettingName, unknown>): Config {
  const assembled = convict<Record<string, unknown>>(convictSchema(schema, ''), { env: {}, args: [] });
  for (const [name, value] of values) assembled.set(name, value);
  assembled.validate({ allowed: 'strict' });
  return deepFreeze(assembled.getProperties()) as Config;
}

function convictSchema(node: object, prefix: string): convict.Schema<Record<string, unknown>> {
  const entries = Object.entries(node).map(([key, child]: [string, object]) => {
    const name = prefix + key;
    if (!isSetting(child)) return [key, convictSchema(child, `${name}.`)];
    const { format } = child;
    const check = (value: unknown): void => void format.parse(format.print(value));
    return [key, { env: defaultEnvName(name), ...child, format: check }];
  });
  return Object.fromEntries(entries);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const child of Object.values(value)) deepFreeze(child);
    Object.freeze(value);
  }
  return value;
}

/** The value of one setting, by its name. */
export function settingIn(config: Config, name: SettingName): unknown {
  return name.split('.').reduce<unknown>((node, key) => (node as Record<string, unknown>)[key], config);
}
