import type { Logger } from 'pino';
import { Counter, Gauge, type Registry } from 'prom-client';
import { watchFolders } from '../platform/watch-folders.ts';
import { type Generation, type LoadedConfig, type LoadOptions, loadConfig, nextGeneration } from './load.ts';
import { ConfigError } from './problem.ts';
import type { Config, SettingName } from './schema.ts';
import { findMountedFiles, type MountedFiles } from './sources/mounted-files.ts';

/** How the configuration stands, for people. Nothing in it is secret. */
export interface ConfigStatus {
  /** Counted from 1 at the start. */
  readonly generation: number;
  /** ISO 8601. */
  readonly loadedAt: string;
  /** Why the files as they are now cannot be used, with file, line and setting of each; null where they are in force. */
  readonly lastError: { readonly at: string; readonly message: string } | null;
  /** The settings whose new values count after a restart only. */
  readonly restartToApply: readonly string[];
}

export interface LiveConfigParts {
  readonly logger: Logger;
  readonly registry: Registry;
}

/** The configuration of a running process, which mounted files may change. */
export interface LiveConfig {
  /** The generation in force, deeply frozen. To be read at the time of use: for each connection, for each message. */
  readonly current: Config;
  status(): ConfigStatus;
  /** Whether the setting was given a value at the start, in whatever source. */
  isGiven(name: SettingName): boolean;
  /** Calls for each new generation from now on. @returns ends it */
  onChange(listener: (config: Config) => void): () => void;
  /** Has all files that are watched looked at now: SIGHUP. */
  requestReload(): void;
  /** Calls when that is asked for: for what watches other files than the configuration's. @returns ends it */
  onReloadRequest(listener: () => void): () => void;
  /** Begins to look for changes of the files. @returns ends it */
  watch(parts: LiveConfigParts): () => void;
}

/**
 * Loads the configuration (`loadConfig`) so that it can follow its files.
 *
 * @returns with it what the first load warned of
 * @throws ConfigError that lists everything that is wrong, in all sources
 */
export async function loadLiveConfig(
  env: NodeJS.ProcessEnv,
  options: LoadOptions = {},
): Promise<{ readonly live: LiveConfig; readonly warnings: readonly string[] }> {
  const files = await findMountedFiles(env);
  const first = await readStable(files, () => loadConfig(env, options));
  // The certificate has a watch of its own: a bad one does not keep other settings from being taken over.
  const reload = () => readStable(files, () => loadConfig(env, { ...options, checkTlsFiles: false }));
  return { live: new MountedConfig(files, first, reload), warnings: first.loaded.warnings };
}

/** A configuration that nothing changes, and whose every value is one that was given. */
export function fixedConfig(config: Config): LiveConfig {
  const loadedAt = new Date().toISOString();
  return {
    current: config,
    status: () => ({ generation: 1, loadedAt, lastError: null, restartToApply: [] }),
    isGiven: () => true,
    onChange: () => () => {},
    requestReload: () => {},
    onReloadRequest: () => () => {},
    watch: () => () => {},
  };
}

/** Makes a value of the configuration once for each generation, when it is first asked for. */
export function perGeneration<T>(live: Pick<LiveConfig, 'current'>, make: (config: Config) => T): () => T {
  let made: { readonly of: Config; readonly value: T } | undefined;
  return () => {
    if (made?.of !== live.current) made = { of: live.current, value: make(live.current) };
    return made.value;
  };
}

interface Read {
  readonly loaded: LoadedConfig;
  readonly fingerprint: string;
}

const TRIES = 5;

/** Files are read one after the other and may be replaced meanwhile: a reading during which one has changed is done again. */
async function readStable(files: MountedFiles, load: () => LoadedConfig): Promise<Read> {
  for (let tries = 1; ; tries++) {
    const fingerprint = await files.fingerprint();
    const attempt = await attemptTo(load);
    if (tries < TRIES && (await files.fingerprint()) !== fingerprint) continue;
    if ('error' in attempt) throw attempt.error;
    return { loaded: attempt.value, fingerprint };
  }
}

async function attemptTo<T>(work: () => T): Promise<{ readonly value: T } | { readonly error: unknown }> {
  try {
    return { value: work() };
  } catch (error) {
    return { error };
  }
}

class MountedConfig implements LiveConfig {
  readonly #files: MountedFiles;
  readonly #reload: () => Promise<Read>;
  readonly #listeners = new Set<(config: Config) => void>();
  readonly #requests = new Set<() => void>();
  readonly #given: ReadonlySet<SettingName>;
  /** Of the files that were last looked at, whether they could be used or not. */
  #fingerprint: string;
  #generation: Generation;
  #number = 1;
  #loadedAt = new Date();
  #lastError: ConfigStatus['lastError'] = null;

  constructor(files: MountedFiles, first: Read, reload: () => Promise<Read>) {
    this.#files = files;
    this.#reload = reload;
    this.#fingerprint = first.fingerprint;
    this.#generation = { config: first.loaded.config, changed: [], restartToApply: [] };
    const given = first.loaded.settings.filter(({ source }) => source !== 'default');
    this.#given = new Set(given.map(({ name }) => name));
  }

  get current(): Config {
    return this.#generation.config;
  }

  status(): ConfigStatus {
    return {
      generation: this.#number,
      loadedAt: this.#loadedAt.toISOString(),
      lastError: this.#lastError,
      restartToApply: this.#generation.restartToApply,
    };
  }

  isGiven(name: SettingName): boolean {
    return this.#given.has(name);
  }

  onChange(listener: (config: Config) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  requestReload(): void {
    for (const look of this.#requests) look();
  }

  onReloadRequest(listener: () => void): () => void {
    this.#requests.add(listener);
    return () => void this.#requests.delete(listener);
  }

  watch({ logger, registry }: LiveConfigParts): () => void {
    const child = logger.child({ room: 'config' });
    const metrics = createLiveConfigMetrics(registry);
    metrics.loaded(this.#number, this.#loadedAt, 0);
    const { folders } = this.#files;
    // The environment cannot change.
    if (folders.length === 0) return () => {};
    return watchFolders({
      folders,
      look: () => this.#look(child, metrics),
      onRequest: look => this.onReloadRequest(look),
      onFault: (error, folder) => child.warn({ err: error, folder }, 'folder cannot be watched; it is polled'),
    });
  }

  async #look(logger: Logger, metrics: LiveConfigMetrics): Promise<void> {
    try {
      const fingerprint = await this.#files.fingerprint();
      if (fingerprint === this.#fingerprint) return;
      // Files that cannot be used are reported once, not at every look.
      this.#fingerprint = fingerprint;
      const read = await this.#reload();
      this.#fingerprint = read.fingerprint;
      this.#use(nextGeneration(this.current, read.loaded), read.loaded.warnings, logger, metrics);
    } catch (error) {
      this.#lastError = { at: new Date().toISOString(), message: publicText(error) };
      metrics.failed();
      const generation = this.#number;
      const problems = error instanceof ConfigError ? error.problems : undefined;
      logger.error({ err: error, problems, generation }, 'new configuration cannot be used; the last good one stays');
    }
  }

  #use(next: Generation, warnings: readonly string[], logger: Logger, metrics: LiveConfigMetrics): void {
    this.#generation = next;
    this.#number += 1;
    this.#loadedAt = new Date();
    this.#lastError = null;
    const { config, changed, restartToApply } = next;
    metrics.loaded(this.#number, this.#loadedAt, restartToApply.length);
    for (const warning of warnings) logger.warn(warning);
    logger.info({ generation: this.#number, changed }, 'new configuration in force');
    if (restartToApply.length > 0) logger.warn({ restartToApply }, 'changed settings count after a restart only');
    for (const listener of this.#listeners) {
      try {
        listener(config);
      } catch (error) {
        logger.error({ err: error }, 'part of the new configuration is not in force');
      }
    }
  }
}

/** A `ConfigError` is made of our own sentences; other errors may hold what is not for everybody. */
function publicText(error: unknown): string {
  return error instanceof ConfigError ? error.message : 'it cannot be read; the log says more';
}

export interface LiveConfigMetrics {
  /** A generation is in force. */
  loaded(generation: number, loadedAt: Date, restartToApply: number): void;
  /** New files could not be used. */
  failed(): void;
}

export function createLiveConfigMetrics(registry: Registry): LiveConfigMetrics {
  const registers = [registry];
  const generation = new Gauge({
    name: 'smtp_relay_config_generation',
    help: 'The generation of the configuration that is in force, counted from 1 at the start',
    registers,
  });
  const loadedAt = new Gauge({
    name: 'smtp_relay_config_last_reload_success_timestamp_seconds',
    help: 'When the configuration that is in force was loaded',
    registers,
  });
  const successful = new Gauge({
    name: 'smtp_relay_config_last_reload_successful',
    help: '1 where the mounted files are in force; 0 where they could not be used, and the last good ones stay',
    registers,
  });
  const failures = new Counter({
    name: 'smtp_relay_config_reload_failures_total',
    help: 'How often changed files could not be used',
    registers,
  });
  const pending = new Gauge({
    name: 'smtp_relay_config_restart_pending_settings',
    help: 'Settings whose new values count after a restart only',
    registers,
  });
  return {
    loaded(number, at, restartToApply) {
      generation.set(number);
      loadedAt.set(at.getTime() / 1000);
      successful.set(1);
      pending.set(restartToApply);
    },
    failed() {
      successful.set(0);
      failures.inc();
    },
  };
}
