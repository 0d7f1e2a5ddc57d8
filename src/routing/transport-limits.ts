import { MAX_LINE } from '../message/mending/long-lines.ts';
import type { Refusal } from '../message/refusal.ts';
import { refuseForSes, type SesContent } from './ses-rules.ts';

export const TRANSPORT_KINDS = ['ses', 'smtp', 'capture'] as const;
/** Which kind of transport carries a message. */
export type TransportKind = (typeof TRANSPORT_KINDS)[number];

/** What a transport cannot carry, known before a message is accepted for it. */
export interface TransportLimits {
  readonly kind: TransportKind;
  /** The largest message in bytes. */
  readonly messageBytes: number;
  /** The longest line in bytes, CRLF not counted. */
  readonly lineBytes: number;
  /** Whether a Content-Type that is no type/subtype is refused, unless it is written as what it means. */
  readonly strictTypes: boolean;
  /** Whether local parts may have other characters than ASCII (RFC 6531). */
  readonly smtpUtf8: boolean;
  /** Whether bounces go to the MAIL FROM of clients, and not to an address of its own. */
  readonly bouncesToSender: boolean;
  /** Refuses what it would refuse in header and structure. @param sentAsReceived else the message is made anew by another */
  readonly refuse: (content: SesContent, sentAsReceived: boolean) => Refusal | null;
}

const MIB = 1024 * 1024;

const TAKES_ALL = (): null => null;

const LIMITS: Readonly<Record<TransportKind, TransportLimits>> = {
  // Amazon SES quotas: 40 MB a message after Base64; 1,000 characters a line; no SMTPUTF8.
  ses: {
    kind: 'ses',
    messageBytes: 40 * MIB,
    lineBytes: MAX_LINE,
    strictTypes: true,
    smtpUtf8: false,
    bouncesToSender: false,
    refuse: refuseForSes,
  },
  // RFC 5321 section 4.5.3.1.6; size and SMTPUTF8 are for the smarthost to say.
  smtp: {
    kind: 'smtp',
    messageBytes: Number.POSITIVE_INFINITY,
    lineBytes: MAX_LINE,
    strictTypes: false,
    smtpUtf8: true,
    bouncesToSender: true,
    refuse: TAKES_ALL,
  },
  capture: {
    kind: 'capture',
    messageBytes: Number.POSITIVE_INFINITY,
    lineBytes: Number.POSITIVE_INFINITY,
    strictTypes: false,
    smtpUtf8: true,
    bouncesToSender: false,
    refuse: TAKES_ALL,
  },
};

export function transportLimits(kind: TransportKind): TransportLimits {
  return LIMITS[kind];
}
