import type { Format } from '../formats/format.ts';
import type { ValuesOf } from '../setting.ts';

/**
 * Everything about a transport but the code that hands messages over (`delivery/transport/`): its settings, what a route may have of
 * its own, and what it carries.
 */
export interface TransportDescription<S extends object, F extends RouteFields> {
  /** As the object of "hands messages to …". */
  readonly what: string;
  /** Its settings; a route has them where it has none of its own. */
  readonly settings: S;
  /** What a route may have in their place, or besides. */
  readonly route: F;
  /** Describes these fields as a group of a declared Route. */
  readonly declaredAs: string;
  /** The setting without which it cannot be used; `what` is a word of people for it. */
  readonly needs?: { readonly setting: keyof F & string; readonly what: string };
  /** The settings of a route that stand above those in the row of the sender's domain. */
  readonly aboveDomain?: readonly ('region' | 'configurationSet')[];
  readonly carries: Carried;
  /** The settings of a route, where they are not simply its own above the others. */
  combine?(general: ValuesOf<S>, own: Overrides<F>): RouteSettings<S, F>;
}

/** What a transport carries, known before a message is accepted for it. */
export interface Carried {
  /** The largest message in bytes. */
  readonly messageBytes: number;
  /** Whether lines may be longer than SMTP has them. */
  readonly longLines: boolean;
  /** Whether a Content-Type that is no type/subtype is refused, unless it is written as what it means. */
  readonly strictTypes: boolean;
  /** Whether local parts may have other characters than ASCII (RFC 6531). */
  readonly smtpUtf8: boolean;
  /** Whether bounces go to the MAIL FROM of clients, and not to an address of its own. */
  readonly bouncesToSender: boolean;
  /** By whose rules header and structure are refused (`routing/`); null: by none. */
  readonly rules: 'ses' | null;
}

/** A value that a route may have of its own. `password` and `passwordFile` mean the same in every transport. */
export interface RouteField<T> {
  readonly format: Format<T>;
  /** How a declared Route has it; null where it may not be there, as a secret. */
  readonly declared: DeclaredField | null;
}

export interface DeclaredField {
  readonly description: string;
  /** It has to be there. */
  readonly required?: true;
  /** It names a file below the folder of secrets. */
  readonly isFile?: true;
  /** What to write, and what the published schema says of it, where the format says it for other places. */
  readonly expected?: string;
  readonly pattern?: string;
  readonly maxLength?: number;
  readonly minimum?: number;
}

export type RouteFields = Readonly<Record<string, RouteField<unknown>>>;

/** What a route has of its own. */
export type Overrides<F> = { readonly [K in keyof F]?: F[K] extends RouteField<infer T> ? T : never };

/** The settings in force for a route. */
export type RouteSettings<S, F> = ValuesOf<S> & Required<Pick<Overrides<F>, Exclude<keyof F, keyof S>>>;

export function describeTransport<S extends object, const F extends RouteFields>(
  description: TransportDescription<S, F>,
): TransportDescription<S, F> {
  return description;
}

export function routeField<T>(format: Format<T>, declared: DeclaredField | null): RouteField<T> {
  return { format, declared };
}
