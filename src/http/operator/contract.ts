/*
 * What the operator's page is told, as JSON, by server-sent events (HTML standard): `history` comes first, then an `overview` every few
 * seconds. The page in `web/operator/` imports these types, so this file imports nothing that a browser lacks.
 */

/** Lines of the charts. A process has those of its role. */
export type SeriesName =
  /** Messages a second by what became of them: accepted, refused (5xx), deferred (4xx), fault. */
  | 'accepted'
  | 'refused'
  | 'deferred'
  | 'faults'
  /** Seconds from the end of a message to its 250. */
  | 'acceptanceMedian'
  | 'acceptance99'
  /** Client connections that are open. */
  | 'connections'
  /** Send jobs a second that the queue took, and that it did not. */
  | 'published'
  | 'unpublished'
  /** Recipients a second by the outcome of their call: sent, transient or unknown, permanent. */
  | 'sent'
  | 'retried'
  | 'failed'
  /** Seconds from the acceptance of a message to its transport having it. */
  | 'sendAge95'
  /** Messages that the worker has claimed. */
  | 'inHand'
  /** Jobs in the outbox of the whole installation that are due, and seconds for which the first has been: null while nobody looked. */
  | 'outboxDue'
  | 'outboxAge'
  /** Jobs in the queue, as the publisher last saw it. */
  | 'queueJobs'
  /** Queries that wait for a connection to the database. */
  | 'waiting'
  /** How much of the time the event loop was at work, from 0 to 1; bytes of memory. */
  | 'busy'
  | 'memory';

/** null: unknown, or nothing happened that could be measured. */
export type Values = Readonly<Partial<Record<SeriesName, number | null>>>;

export interface Sample {
  /** Milliseconds since 1970, at the end of what it is of. */
  readonly at: number;
  readonly values: Values;
}

/** The last minutes, the oldest first. */
export interface History {
  /** Milliseconds from one sample to the next. */
  readonly interval: number;
  /** How many samples there are at most. */
  readonly most: number;
  readonly at: readonly number[];
  readonly series: Readonly<Partial<Record<SeriesName, readonly (number | null)[]>>>;
}

/** Something that is wrong, and where the troubleshooting guide says what to do. */
export interface Problem {
  readonly severity: 'bad' | 'wait';
  readonly title: string;
  /** What was seen. */
  readonly detail: string;
  /** The paragraph of the guide. */
  readonly url: string;
}

export interface Dependency {
  readonly name: string;
  readonly ok: boolean;
  readonly latencyMs: number;
  /** The last failure since the start, also where it is over. */
  readonly lastError: { readonly class: string; readonly at: string } | null;
}

/** How much of something there is room for. */
export interface Room {
  readonly what: string;
  /** What sets the bound: a setting, or whoever else. */
  readonly bound: string;
  readonly used: number;
  readonly most: number;
  readonly unit: 'count' | 'bytes' | 'recipients';
}

/** What was counted in the minutes of the history, by labels, the most first. */
export interface Tally {
  readonly title: string;
  readonly rows: readonly { readonly what: string; readonly tone: 'good' | 'wait' | 'bad'; readonly count: number }[];
}

export interface ShutRoute {
  readonly route: string;
  readonly reason: string;
  /** ISO 8601. */
  readonly since: string;
}

export interface Declared {
  readonly total: number;
  readonly ready: number;
  /** The process that makes the database match; null where none does. */
  readonly leader: string | null;
  /** What is wrong with all of them. */
  readonly reasons: readonly string[];
  /** Those that are not ready first. */
  readonly objects: readonly {
    readonly kind: string;
    readonly name: string;
    readonly isReady: boolean;
    readonly reason: string;
    readonly message: string;
    readonly since: string;
  }[];
  /** How many are not in the list. */
  readonly omitted: number;
}

/** The whole installation, as the database tells it. */
export interface FleetView {
  /** Workers that gave a sign of life, the oldest first; fifty at most. */
  readonly workers: readonly { readonly id: string; readonly startedAt: string; readonly silentMs: number }[];
  /** How many of them there are. */
  readonly liveWorkers: number;
  /** Messages that workers have claimed; counted up to ten thousand. */
  readonly inHand: number;
  /** Messages that wait for a person. */
  readonly held: number;
  /** Seconds since the acceptance of the message that waits longest, be it due or to be tried again; 0 where none does. */
  readonly oldestWaiting: number;
  /** Messages accepted a second, in the last ten. */
  readonly acceptedPerSecond: number;
  /** Outcomes of the last minutes by transport, of the newest thousand. */
  readonly outcomes: Tally['rows'];
  /** Ways out that no worker may try just now. */
  readonly shutWays: readonly string[];
}

/** Everything but the charts, as it stands now. */
export interface Overview {
  readonly sample: Sample;
  readonly role: 'relay' | 'worker';
  readonly version: string;
  readonly pipeline: 'standalone' | 'opensend';
  /** The process's name among all. */
  readonly id: string;
  readonly startedAt: string;
  readonly isReady: boolean;
  readonly problems: readonly Problem[];
  readonly dependencies: readonly Dependency[];
  readonly configuration: {
    readonly generation: number;
    readonly loadedAt: string;
    readonly restartToApply: readonly string[];
  };
  /** null where the process has none. */
  readonly certificateEndsAt: string | null;
  readonly rooms: readonly Room[];
  readonly tallies: readonly Tally[];
  readonly shutRoutes: readonly ShutRoute[];
  /** null where nothing is declared, or it cannot be read. */
  readonly declared: Declared | null;
  /** Whether `/sessions` tells what clients were refused. */
  readonly hasSessions: boolean;
  /** null while the database cannot be read, where it may not be, and beside OpenSend, whose own worker delivers. */
  readonly fleet: FleetView | null;
  /** Whether this process may read of the whole installation: the role of a relay has no right to what workers write. */
  readonly mayReadFleet: boolean;
}
