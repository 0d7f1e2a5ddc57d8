/** What a client is told when a command or message is not accepted (RFC 5321 section 4.2, RFC 3463). */
export interface RefusalDetail {
  /** Reply code: 4yz where the client shall try again, 5yz where it shall not (RFC 5321 section 4.2.1). */
  readonly code: number;
  /** Enhanced status code, such as `5.7.1`; its class agrees with the reply code (RFC 2034). */
  readonly enhancedCode: string;
  /** Reply text: names the rule and what to do about it. One line, no internals. */
  readonly text: string;
  /** Which rule refused, for metrics and logs: short, from a bounded set. */
  readonly rule: string;
  /** What really happened, for the log only. */
  readonly cause?: unknown;
}

/**
 * The one error that carries an SMTP reply. Anything else that is thrown is a fault of ours and becomes
 * `451 4.3.0` at the edge (`smtp/protocol/replies.ts`).
 */
export class Refusal extends Error {
  readonly code: number;
  readonly enhancedCode: string;
  readonly rule: string;

  constructor(detail: RefusalDetail) {
    super(detail.text, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.name = 'Refusal';
    this.code = detail.code;
    this.enhancedCode = detail.enhancedCode;
    this.rule = detail.rule;
  }

  /** What another thread can make it of again: errors lose their class on the way. */
  get detail(): RefusalDetail {
    return { code: this.code, enhancedCode: this.enhancedCode, text: this.message, rule: this.rule };
  }

  /** Whether the client shall try again later. */
  get temporary(): boolean {
    return this.code < 500;
  }
}

/** `550 5.7.1`: a policy of the relay or of its owner forbids the message. */
export function policyRefusal(rule: string, text: string): Refusal {
  return new Refusal({ code: 550, enhancedCode: '5.7.1', text, rule });
}

/** `554 5.6.0`: the message is not one that can be read or stored. */
export function contentRefusal(rule: string, text: string): Refusal {
  return new Refusal({ code: 554, enhancedCode: '5.6.0', text, rule });
}

/** `552 5.3.4`: something is larger than the relay takes. */
export function sizeRefusal(rule: string, text: string): Refusal {
  return new Refusal({ code: 552, enhancedCode: '5.3.4', text, rule });
}
