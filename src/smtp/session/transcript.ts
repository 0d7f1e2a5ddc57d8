import type { Accepted } from '../../intake/accept.ts';
import type { ArrivalLog, KeptSession, SessionLine, SessionLog, SessionStep } from '../../intake/create-intake.ts';
import { clientNetwork } from '../../platform/networks.ts';
import type { Client, KnownKey } from './key.ts';

/** Lines that are kept of one session: so many from its beginning, and the rest from its end. */
const MOST_LINES = 120;
const FIRST_LINES = 40;
/** Characters of one. */
const LONGEST = 200;

/** Commands that are shown as they were sent: nothing secret has a place in them. */
const SHOWN = /^(?:EHLO|HELO)(?: |$)|^MAIL +FROM:|^RCPT +TO:/i;
/** Of these only the name: what stands behind it may be a line of a message, or a password. */
const NAMED = /^(?:STARTTLS|DATA|RSET|NOOP|QUIT|VRFY|EXPN|HELP|BDAT|LHLO|MAIL|RCPT|AUTH)(?= |$)/i;
const MECHANISM =
  /^AUTH +(?:PLAIN|LOGIN|CRAM-MD5|DIGEST-MD5|NTLM|GSSAPI|EXTERNAL|XOAUTH2?|OAUTHBEARER|SCRAM-[A-Z0-9-]+)(?= |$)/i;
/** Where somebody has put a key into an address, or into a name. */
const KEY = /os_[A-Za-z0-9_]{6,}/g;

/** What was last refused. */
interface Refused {
  readonly step: string;
  readonly rule: string;
  readonly reply: string;
}

const NOTHING_REFUSED: Refused = { step: 'session', rule: '', reply: '' };

/** Ends of sessions that are no fault of anybody's. */
const PLAIN_ENDS: ReadonlySet<string> = new Set(['idle_timeout', 'session_timeout', 'shutdown']);

/**
 * What a client and the relay say to each other, without credentials and without messages, from the last thing that went well.
 * Whatever is not accepted has the session written by the log. Where messages go to nobody, each of them has its part written, too,
 * behind what the session began with.
 */
export class Transcript {
  readonly id: string;
  readonly clientAddress: string;
  readonly #log: SessionLog;
  readonly #arrivals: ArrivalLog;
  readonly began = Date.now();
  readonly #beganAt = performance.now();
  #keyId: string | null = null;
  #lines: SessionLine[] = [];
  /** Lines in the middle that are not kept. */
  #leftOut = 0;
  #verb = 'session';
  /** The rule of the refusal that is about to be said. */
  #about: { readonly step: string; readonly rule: string } | null = null;
  #last: Refused | null = null;
  #refusals = 0;
  #accepted = 0;
  /** The message whose 250 is said next; empty for one that nobody wants to see. */
  #isAccepted: { readonly emailId: string } | null = null;
  /** Whether messages of this session are to be seen, so that its beginning is kept; and that, from the first of them on. */
  #isSeen: boolean;
  #beginning: readonly SessionLine[] | null = null;

  constructor({ id, clientAddress }: Client, log: SessionLog, arrivals: ArrivalLog) {
    this.id = id;
    this.clientAddress = clientAddress;
    this.#log = log;
    this.#arrivals = arrivals;
    this.#isSeen = arrivals.wants(false);
  }

  get keyId(): string | null {
    return this.#keyId;
  }

  get lines(): readonly SessionLine[] {
    return this.#lines;
  }

  get subject(): string {
    return this.#keyId ?? clientNetwork(this.clientAddress);
  }

  /** @param isAnswer to a challenge of AUTH */
  heard(command: Buffer, isAnswer: boolean): void {
    const text = isAnswer ? '(hidden)' : shown(command);
    if (this.#isSeen && /^MAIL$/i.test(text.slice(0, 4))) this.#beginning ??= this.#lines.slice(0, FIRST_LINES);
    if (!isAnswer) this.#verb = /^\(/.test(text) ? 'session' : text.slice(0, 4).toUpperCase();
    this.#add('C', text);
  }

  /** A reply; several lines where it is a list. */
  said(code: number, data: string | readonly string[]): void {
    const lines = typeof data === 'string' ? [data] : data;
    const step = this.#stepOf(code);
    for (const [index, line] of lines.entries())
      this.#add('S', `${code}${index < lines.length - 1 ? '-' : ' '}${line}`, step);
    const about = this.#about;
    this.#about = null;
    if (code >= 400)
      this.#refuse({ ...(about ?? this.#unnamed(code, lines.join(' '))), reply: `${code} ${lines.join(' ')}` });
    else if (step === 'login' || step === 'commit') this.#wentWell();
    this.#isAccepted = null;
  }

  /** Names the step and the rule of what is said next. */
  refused(step: string, rule: string): void {
    this.#about = { step, rule };
  }

  /** Something that only we know, and that is nobody's reply. */
  note(text: string, step?: SessionStep): void {
    this.#add('-', text, step);
  }

  /** The same, where it is why the client does not get what it wants. */
  failed(step: string, rule: string, text: string): void {
    this.note(text);
    this.#refuse({ step, rule, reply: text });
  }

  knownAs({ id, sandbox = false }: KnownKey): void {
    this.#keyId = id;
    this.#isSeen ||= this.#arrivals.wants(sandbox);
  }

  /** The message that was just received is stored; its 250 is said next, maybe much later. */
  accepted({ emailId, decidedAt, captured, sandbox }: Accepted): void {
    this.#accepted += 1;
    const isSeen = decidedAt !== null && this.#arrivals.wants(captured || sandbox);
    this.#isAccepted = { emailId: isSeen ? emailId : '' };
    if (!isSeen) return;
    this.#add('-', 'nothing was found against the message', 'checks', decidedAt);
    this.#arrived(emailId);
  }

  #arrived(emailId: string): void {
    this.#arrivals.keep({ emailId, keyId: this.#keyId, beganAt: new Date(this.began), lines: this.#written() });
  }

  /** The connection has ended. What was said since it was written last is written, too. */
  closed(): void {
    if (this.#last !== null) this.#log.offer(this);
  }

  snapshot(): Omit<KeptSession, 'pod'> {
    const { step, rule, reply } = this.#last ?? NOTHING_REFUSED;
    return {
      id: this.id,
      subject: this.subject,
      clientAddress: this.clientAddress,
      beganAt: new Date(this.began),
      lastAt: new Date(this.began + (this.#lines.at(-1)?.[0] ?? 0)),
      step,
      rule,
      reply: reply.slice(0, LONGEST),
      refusals: this.#refusals,
      lines: this.#written(),
    };
  }

  /** As they are written: with a remark in the place of those that are not kept. */
  #written(): SessionLine[] {
    const gap: SessionLine[] =
      this.#leftOut === 0 ? [] : [[this.#lines[FIRST_LINES]?.[0] ?? 0, '-', `${this.#leftOut} lines left out`]];
    return [...this.#lines.slice(0, FIRST_LINES), ...gap, ...this.#lines.slice(FIRST_LINES)];
  }

  /** One reply in place of the lines, so that sessions in which nothing happens cost next to nothing. */
  #wentWell(): void {
    const { emailId = '' } = this.#isAccepted ?? {};
    if (emailId !== '') this.#arrived(emailId);
    // Log-in is a part of what messages that are to be seen begin with.
    if (this.#last !== null || (this.#isSeen && this.#isAccepted === null)) return;
    const messages = this.#accepted === 1 ? '1 message' : `${this.#accepted} messages`;
    const text =
      this.#accepted === 0
        ? 'logged in; what was said until then went well'
        : `logged in; ${messages} accepted until then`;
    // Whoever looks on has seen it all.
    this.#lines = [...(this.#beginning ?? []), [this.#now(), '-', text]];
  }

  #refuse(refused: Refused): void {
    if (PLAIN_ENDS.has(refused.rule)) return;
    this.#last = refused;
    this.#refusals += 1;
    this.#log.offer(this);
  }

  #now(at = performance.now()): number {
    return Math.round(at - this.#beganAt);
  }

  #add(by: 'C' | 'S' | '-', text: string, step?: SessionStep, at?: number): void {
    const said = [this.#now(at), by, text.slice(0, LONGEST)] as const;
    const line: SessionLine = step ? [...said, step] : said;
    this.#lines.push(line);
    this.#log.said(this, line);
    if (this.#lines.length <= MOST_LINES) return;
    this.#lines.splice(FIRST_LINES, 1);
    this.#leftOut += 1;
  }

  /** Which step of the way of a message a reply ends; STARTTLS is answered with 220, too. */
  #stepOf(code: number): SessionStep | undefined {
    if (code === 220 && this.#lines.length === 0) return 'connect';
    if (code === 235) return 'login';
    return code === 250 && this.#isAccepted ? 'commit' : undefined;
  }

  /** What is wrong with the command alone has no rule. */
  #unnamed(code: number, text: string): { readonly step: string; readonly rule: string } {
    const rule = RULES[code] ?? (code === 421 ? 'malformed_commands' : 'fault');
    return { step: this.#verb, rule: /Shutting down/.test(text) ? 'shutdown' : rule };
  }
}

/** By reply codes, as the protocol has them (RFC 5321 section 4.2.2). */
const RULES: Readonly<Record<number, string>> = {
  500: 'syntax',
  501: 'syntax',
  502: 'syntax',
  503: 'order',
  504: 'sasl',
  530: 'login_required',
  538: 'auth_in_clear',
  552: 'message_size',
  555: 'parameter',
};

function shown(command: Buffer): string {
  const line = command.toString('latin1', 0, LONGEST);
  if (SHOWN.test(line)) return legible(PLAIN.test(line) ? line : command.toString('utf8', 0, LONGEST));
  const text = (MECHANISM.exec(line) ?? NAMED.exec(line))?.[0];
  if (text === undefined) return `(${command.length} bytes that are no command)`;
  return command.length === text.length ? legible(text) : `${legible(text)} (hidden)`;
}

/** Printable characters of ASCII. */
const PLAIN = /^[ -~]*$/;

function legible(text: string): string {
  const keyless = text.replaceAll(KEY, '(a key, hidden)');
  return PLAIN.test(keyless) ? keyless : keyless.replaceAll(/[^\P{Cc}\t]/gu, '?');
}
