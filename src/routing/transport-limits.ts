import { descriptionOf, TRANSPORT_KINDS, type TransportKind } from '../config/transports/list.ts';
import type { Carried } from '../config/transports/transport.ts';
import { MAX_LINE } from '../message/bytes.ts';
import type { Refusal } from '../message/refusal.ts';
import { refuseForSes, type SesContent } from './ses-rules.ts';

/** What a transport cannot carry, known before a message is accepted for it. */
export interface TransportLimits extends Omit<Carried, 'longLines' | 'rules'> {
  readonly kind: TransportKind;
  /** The longest line in bytes, CRLF not counted. */
  readonly lineBytes: number;
  /** Refuses what it would refuse in header and structure. @param sentAsReceived else the message is made anew by another */
  readonly refuse: (content: SesContent, sentAsReceived: boolean) => Refusal | null;
}

const TAKES_ALL = (): null => null;

const LIMITS: ReadonlyMap<TransportKind, TransportLimits> = new Map(
  TRANSPORT_KINDS.map(kind => [kind, limitsOf(kind)]),
);

export function transportLimits(kind: TransportKind): TransportLimits {
  return LIMITS.get(kind) ?? limitsOf(kind);
}

function limitsOf(kind: TransportKind): TransportLimits {
  const { longLines, rules, ...carries } = descriptionOf(kind).carries;
  const lineBytes = longLines ? Number.POSITIVE_INFINITY : MAX_LINE;
  return { kind, ...carries, lineBytes, refuse: rules === 'ses' ? refuseForSes : TAKES_ALL };
}
