import type { Format } from './formats/format.ts';

/** One setting as it is declared: a convict property whose format is ours, and what the relay knows about it besides. */
export interface Setting<T> {
  /** What it does, for users: prose in Markdown, with the unit and an example where that helps. */
  readonly doc: string;
  readonly format: Format<T>;
  /** `NoInfer`: the format alone says which type the values have. */
  readonly default: NoInfer<T>;
  /** The environment variable, where it is not `SMTP_RELAY_` and the setting's name. */
  readonly env?: string;
  /** A variable that others define for more than this setting; it counts where the setting's own is not set. */
  readonly generalEnv?: string;
  /** A running relay can take over a new value, for the connections and messages that come after it. Otherwise it takes a restart. */
  readonly reloadable?: true;
  /**
   * What of a new value a running relay can take over, where that is not all of it.
   *
   * @returns the value that is in force from now on; it is the running one where the new one takes a restart
   */
  takeOver?(running: T, loaded: T): T;
  /** The value is a secret: it is never printed. */
  readonly sensitive?: true;
  /**
   * Nothing in the pipeline `opensend` makes use of it: why not, as a sentence. Set all the same, it is warned of there.
   */
  readonly standaloneOnly?: string;
  /** Without a value nothing starts. */
  readonly required?: true;
  /** The name of another setting that does where this one is needed and has no value. */
  readonly substitute?: string;
}

/** Declares a setting; the type of its values comes from its format. */
export function setting<T>(declared: Setting<T>): Setting<T> {
  return declared;
}

/** The same, of how messages are delivered, which the standalone worker alone does by settings of ours. */
export function deliverySetting<T>(declared: Omit<Setting<T>, 'standaloneOnly'>): Setting<T> {
  return { ...declared, standaloneOnly: OPENSEND_DELIVERS };
}

/** The values of a tree of settings. */
export type ValuesOf<S> = {
  readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : ValuesOf<S[K]>;
};

/** The names of the settings in a tree: `port`, `tls.certPath`. */
export type NamesOf<S, Prefix extends string = ''> = {
  [K in keyof S & string]: S[K] extends Setting<infer _> ? `${Prefix}${K}` : NamesOf<S[K], `${Prefix}${K}.`>;
}[keyof S & string];

/** Tells a setting from a group of settings. */
export function isSetting(node: object): node is Setting<unknown> {
  return 'format' in node && 'default' in node;
}

/** The environment variable of a setting without one of its own: `tls.certPath` is `SMTP_RELAY_TLS_CERT_PATH`. */
export function defaultEnvName(name: string): string {
  const words = name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').replaceAll('.', '_');
  return `SMTP_RELAY_${words.toUpperCase()}`;
}

/*
 * What OpenSend does itself in the pipeline `opensend`, so that settings about it mean nothing there.
 */

export const OPENSEND_DELIVERS = "OpenSend's own worker delivers, by settings of its own.";
export const OPENSEND_TRACKS = 'OpenSend tracks opens and clicks itself, as its dashboard says.';
export const OPENSEND_HEARS = 'OpenSend hears of bounces and complaints from SES itself.';
export const OPENSEND_TELLS = "OpenSend's dashboard manages webhooks, and its worker delivers them.";
export const OPENSEND_KEEPS = 'OpenSend decides itself how long messages, events and deliveries are kept.';
export const OPENSEND_SIMULATES =
  'OpenSend plays its test addresses itself, where all recipients of a message are such.';
