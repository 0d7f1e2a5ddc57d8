/*
 * What pages show of sessions in which something was refused, as JSON. Pages import these types, so this file imports nothing that a
 * browser lacks.
 */
import type { SessionLine } from '../../store/sessions/sessions.ts';

/** A session without what was said in it. */
export interface RefusedSession {
  /** As the log and `smtp-relay sessions show` have it. */
  readonly id: string;
  readonly pod: string;
  /** An address, or the network that it is in. */
  readonly clientAddress: string;
  /** ISO 8601. */
  readonly beganAt: string;
  readonly lastAt: string;
  /** What was last refused: where, by which rule, and the reply. */
  readonly step: string;
  readonly rule: string;
  readonly reply: string;
  /** How often something was. */
  readonly refusals: number;
  /** The refusal in plain words, and what to change in the client. */
  readonly why: string;
  readonly change: string;
}

/** The same with what was said: milliseconds from its beginning, who (client, relay, or a remark), and what. */
export interface SessionStory extends RefusedSession {
  readonly lines: readonly SessionLine[];
}

/** A key, or an address that has not logged in, with the newest of its sessions. */
export interface RefusedSubject {
  readonly kind: 'key' | 'address';
  /** Of the key, or the address. */
  readonly name: string;
  /** How many are kept; the newest few are here. */
  readonly sessions: number;
  readonly newest: readonly RefusedSession[];
}

export interface RefusedSubjects {
  /** Whether addresses are not as they were said. */
  readonly isMasked: boolean;
  /** Milliseconds for which sessions are kept; 0: none is. */
  readonly kept: number;
  /** Who was refused something last comes first. */
  readonly subjects: readonly RefusedSubject[];
}
