import { Refusal } from '../../message/refusal.ts';
import { readPassword } from './sasl.ts';

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
