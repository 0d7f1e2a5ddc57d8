import type { Sender } from '../message/addresses/originators.ts';
import type { Recipients } from '../message/addresses/recipients.ts';
import type { MessageBytes } from '../message/bytes.ts';
import type { ControlSettings } from '../message/header/control-headers.ts';
import type { Span } from '../observability/tracing.ts';
import type { ApiKey } from '../store/keys/api-keys.ts';
import type { Chaos, ChaosStage } from '../store/keys/chaos-settings.ts';
import type { Arrival } from '../store/messages/new-message.ts';

export type { ApiKey, Chaos, ChaosStage };

/** What a session hands over at the end of DATA. */
export interface Submission {
  /** Finds the key anew each time. @throws Refusal where it is valid no more */
  readonly findKey: () => Promise<ApiKey>;
  readonly envelope: Envelope;
  /** Recipients that were refused at RCPT, since they are on the suppression list. */
  readonly refused: readonly string[];
  readonly arrival: Arrival;
  readonly raw: MessageBytes;
  /** Bytes of the longest line, CRLF not counted. */
  readonly longestLine: number;
  /** Calls the message off: its client has gone, or is cut off. */
  readonly callOff: AbortController;
  /** Of the whole message. */
  readonly span: Span;
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

/** Whom and what the policy wants facts about. */
export interface FactsQuestion {
  readonly key: ApiKey;
  readonly sender: Sender;
  /** MAIL FROM; empty for the null one. */
  readonly reversePath: string;
  /** Whom to look up on the suppression list. */
  readonly recipients: readonly string[];
}
