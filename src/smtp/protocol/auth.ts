import { Refusal } from '../../message/refusal.ts';

type Done = () => void;
type Line = (line: Buffer, done: Done) => void;

/** What AUTH needs of its connection. */
export interface AuthConnection {
  readonly mayAuthenticate: boolean;
  readonly isInTransaction: boolean;
  send(code: number, text: string, context?: false): void;
  refuse(step: 'AUTH', error: unknown): void;
  /** Hands the client's next line to this, and not to a command. */
  takeNextLine(take: Line): void;
  /** Counts one more log-in. @throws Refusal 421 where there were too many */
  attemptLogIn(): void;
  /** @throws what the client is told */
  logIn(password: string): Promise<void>;
}

const AUTH_COMMAND = /^AUTH(?:\s|$)/i;

/** AUTH in place of the library's, which takes what is not Base64, refuses empty user names and counts no failure. */
export class AuthExchange {
  readonly #connection: AuthConnection;
  #isLoggedIn = false;

  constructor(connection: AuthConnection) {
    this.#connection = connection;
  }

  get isLoggedIn(): boolean {
    return this.#isLoggedIn;
  }

  /** Counts the command where it is AUTH, whatever becomes of it. @throws Refusal 421 for one too many */
  count(command: Buffer): void {
    if (AUTH_COMMAND.test(command.toString('latin1', 0, 5))) this.#connection.attemptLogIn();
  }

  /** Answers AUTH. @param done is called when the next command may follow */
  async run(command: Buffer, done: Done): Promise<void> {
    let lineDone = done;
    const ask = (challenge: string): Promise<string> => {
      const answer = Promise.withResolvers<string>();
      this.#connection.takeNextLine((line, next) => {
        lineDone = next;
        answer.resolve(line.toString());
      });
      this.#connection.send(334, challenge, false);
      lineDone();
      return answer.promise;
    };
    try {
      this.#refuseOutOfPlace();
      await this.#connection.logIn(await readPassword(command.toString(), ask));
      this.#isLoggedIn = true;
      this.#connection.send(235, '2.7.0 Authentication successful');
    } catch (error) {
      this.#connection.refuse('AUTH', error);
    }
    lineDone();
  }

  #refuseOutOfPlace(): void {
    if (!this.#connection.mayAuthenticate) {
      const text = 'Encryption is required: issue STARTTLS first';
      throw new Refusal({ code: 538, enhancedCode: '5.7.11', text, rule: 'auth_in_clear' });
    }
    // RFC 4954 section 4 allows neither.
    if (this.#isLoggedIn) throw outOfPlace('Already authenticated');
    if (this.#connection.isInTransaction)
      throw outOfPlace('AUTH is not for the middle of a transaction: issue RSET first');
  }
}

function outOfPlace(text: string): Refusal {
  return new Refusal({ code: 503, enhancedCode: '5.5.1', text, rule: 'auth_order' });
}

/** Sends a challenge, which is Base64. @returns the client's next line, which answers it */
export type Ask = (challenge: string) => Promise<string>;

/** Bytes; as many as RFC 4954 section 4 asks for in an exchange of AUTH. */
const MAX_AUTH_LINE = 12_288;
export const MECHANISMS = 'PLAIN LOGIN';

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
/** Prompts of AUTH LOGIN, as every client knows them: "Username:" and "Password:". */
const USERNAME = 'VXNlcm5hbWU6';
const PASSWORD = 'UGFzc3dvcmQ6';

/**
 * Goes through the exchange of AUTH PLAIN (RFC 4616) or AUTH LOGIN (draft-murchison-sasl-login). The user name is read and
 * ignored: the password is the API key.
 *
 * @param command `AUTH mechanism [initial-response]` (RFC 4954); `=` stands for an empty response
 * @returns the password
 * @throws Refusal 501 for an exchange that the client cancels (`*`) and for what is not Base64, 500 for a line that is too long,
 * 504 for another mechanism
 */
export async function readPassword(command: string, ask: Ask): Promise<string> {
  refuseTooLong(command);
  const [, mechanism = '', initialResponse, ...rest] = command.trim().split(/\s+/);
  if (mechanism === '' || rest.length > 0) {
    throw syntaxRefusal('Syntax: AUTH mechanism [initial-response]', '5.5.4');
  }
  switch (mechanism.toUpperCase()) {
    case 'PLAIN':
      return passwordIn(decode(initialResponse ?? (await ask(''))));
    case 'LOGIN':
      decode(initialResponse ?? (await ask(USERNAME)));
      return decode(await ask(PASSWORD));
    default:
      throw unknownMechanism();
  }
}

/** @param message `[authzid] NUL authcid NUL passwd` */
function passwordIn(message: string): string {
  const fields = message.split('\0');
  const [, , password] = fields;
  if (fields.length !== 3 || password === undefined) {
    throw syntaxRefusal('AUTH PLAIN takes the Base64 of NUL, user name, NUL, password');
  }
  return password;
}

function decode(line: string): string {
  refuseTooLong(line);
  const text = line.trim();
  if (text === '*')
    throw new Refusal({ code: 501, enhancedCode: '5.7.0', text: 'Authentication cancelled', rule: 'sasl' });
  if (text === '=') return '';
  if (!BASE64.test(text)) throw syntaxRefusal('The response is not Base64');
  return Buffer.from(text, 'base64').toString('utf8');
}

/** RFC 4954 section 4: it ends the exchange, and not the session. */
function refuseTooLong(line: string): void {
  if (line.length <= MAX_AUTH_LINE) return;
  const text = `A line of AUTH may have ${MAX_AUTH_LINE} octets: give the API key alone as the password`;
  throw new Refusal({ code: 500, enhancedCode: '5.5.6', text, rule: 'sasl' });
}

function syntaxRefusal(text: string, enhancedCode = '5.5.2'): Refusal {
  return new Refusal({ code: 501, enhancedCode, text, rule: 'sasl' });
}

function unknownMechanism(): Refusal {
  const text = 'Unknown mechanism: use PLAIN or LOGIN';
  return new Refusal({ code: 504, enhancedCode: '5.5.4', text, rule: 'sasl' });
}
