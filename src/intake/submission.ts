import type { Standing } from '../flow/standing.ts';
import type { Sender } from '../message/addresses/originators.ts';
import type { RecipientSource, Recipients } from '../message/addresses/recipients.ts';
import type { ControlSettings } from '../message/header/control-headers.ts';
import type { Arrival } from '../store/messages/new-message.ts';
import type { LongLines } from './decide.ts';
import type { LimitedKey } from './rate-limits.ts';
import type { Steps } from './steps.ts';

/** What a session hands over at the end of DATA. */
export interface Submission {
  readonly owner: { readonly userId: string; readonly keyDomain: string | null; readonly key: LimitedKey };
  readonly envelope: Envelope;
  /** Recipients that were refused at RCPT, since they are on the suppression list. */
  readonly refused: readonly string[];
  readonly arrival: Arrival;
  readonly raw: Buffer;
  /** Bytes of the longest line, CRLF not counted. */
  readonly longestLine: number;
  /** Whether its client still waits for it, and may send it. */
  readonly standing: Standing;
  /** Watches its way, knows its trace, and takes no step that nobody waits for. */
  readonly steps: Steps;
}

export interface Envelope {
  /** Empty for the null reverse-path. */
  readonly reversePath: string;
  /** The RCPT TO addresses. */
  readonly recipients: readonly string[];
  /** BODY of MAIL: `7bit` or `8bitmime`. */
  readonly bodyType: string;
  readonly smtpUtf8: boolean;
}

/** What the message's header section says. */
export interface ReadHeader {
  readonly sender: Sender;
  readonly recipients: Recipients;
  readonly control: ControlSettings;
  /** Decoded. */
  readonly subject: string;
}

/** How messages are read and stored; from the configuration. */
export interface AcceptSettings {
  readonly recipientSource: RecipientSource;
  readonly recipientLimit: number;
  readonly headerBytes: number;
  readonly attachmentBytes: number;
  readonly mimeDepth: number;
  readonly mimeParts: number;
  /** What is done with lines of more than 998 bytes in a message that is sent as it was received. */
  readonly longLines: LongLines;
  /** Whether a client's signatures are left out of what goes by SES. */
  readonly unsignedForSes: boolean;
  /** What is done with a message for a recipient outside the allow list. */
  readonly recipientsElsewhere: 'refuse' | 'capture';
  /** Keep the message as received beside the row; else attachments go into the row. */
  readonly keepOriginal: boolean;
}

/** Whom and what the policy wants facts about. */
export interface FactsQuestion {
  readonly owner: Submission['owner'];
  readonly sender: Sender;
  /** MAIL FROM; empty for the null one. */
  readonly reversePath: string;
  readonly recipients: readonly string[];
}
