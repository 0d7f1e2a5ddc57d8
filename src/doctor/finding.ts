import type pg from 'pg';
import type { LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';

/**
 * `ok`; `advice`: it works, and something could be better; `failed`: something does not work, or will not; `skipped`: it was not looked
 * at.
 */
export type FindingState = 'ok' | 'advice' | 'failed' | 'skipped';

/** One thing that was looked at. */
export interface Finding {
  readonly what: string;
  readonly state: FindingState;
  /** What was found, as a sentence without its full stop; nothing in it is secret. */
  readonly detail: string;
  /** What to do about it, naming the setting or the command; left out where nothing is to be done. */
  readonly remedy?: string;
}

/** Which process of an installation is looked at: what it needs is looked at, and nothing that only the other one needs. */
export type Role = 'relay' | 'worker' | 'all';

/** What checks are made from. */
export interface DoctorParts {
  readonly config: Config;
  readonly settings: LoadedConfig['settings'];
  readonly warnings: LoadedConfig['warnings'];
  readonly role: Role;
  /** Where the relay and its operational listener are asked. */
  readonly host: string;
  /** The name by which clients know the relay, which its certificate has to carry; null where nobody has said it. */
  readonly clientName: string | null;
  /** The DNS server that is asked; the system's unless given. */
  readonly nameserver?: string | undefined;
  readonly db: pg.Pool;
}

/** A part of an installation that can be looked at by itself. */
export interface DoctorCheck {
  /** As `--only` and `--skip` take it. */
  readonly name: string;
  /** The check without which this one can find nothing out. */
  readonly needs?: string;
  /** @throws what keeps it from finding anything out, which then has failed. @param signal nobody waits any more */
  run(parts: DoctorParts, signal: AbortSignal): Promise<readonly Finding[]>;
}

export function ok(what: string, detail: string): Finding {
  return { what, state: 'ok', detail };
}

export function advice(what: string, detail: string, remedy: string): Finding {
  return { what, state: 'advice', detail, remedy };
}

export function failed(what: string, detail: string, remedy: string): Finding {
  return { what, state: 'failed', detail, remedy };
}

export function skipped(what: string, detail: string): Finding {
  return { what, state: 'skipped', detail };
}
