import { readFile } from 'node:fs/promises';
import pg from 'pg';

/** Where the database is and who logs in. */
export interface DatabaseLogin {
  readonly url: string;
  /** A file that holds the password, read at each new connection; it counts in place of the URL's. */
  readonly passwordFile: string | null;
}

/** A login, or its URL alone; or what tells, asked at each new connection, since a password may change. */
export type DatabaseUrl = string | DatabaseLogin | (() => string | DatabaseLogin);

type ConnectCallback = ((error: Error) => void) | ((error: null, client: pg.Client) => void);

/** A client that finds out at the time where the database is and who logs in. Its password is the file's at `connect`. */
export class DatabaseClient extends pg.Client {
  readonly #passwordFile: string | null;

  constructor(databaseUrl: DatabaseUrl, config: pg.ClientConfig = {}) {
    const login = currentLogin(databaseUrl);
    super({ ...config, connectionString: login.url });
    this.#passwordFile = login.passwordFile;
  }

  /** @throws the error of a password file that cannot be read, or else the connection's */
  override connect(): Promise<pg.Client>;
  override connect(callback: ConnectCallback): void;
  override connect(callback?: ConnectCallback): Promise<pg.Client> | undefined {
    const connected = this.#connect();
    if (!callback) return connected;
    // The pool's way.
    const done = callback as (error: Error | null, client?: pg.Client) => void;
    connected.then(() => done(null, this), done);
    return undefined;
  }

  async #connect(): Promise<pg.Client> {
    if (this.#passwordFile !== null) this.password = await readPassword(this.#passwordFile);
    return super.connect();
  }
}

function currentLogin(databaseUrl: DatabaseUrl): DatabaseLogin {
  const login = typeof databaseUrl === 'function' ? databaseUrl() : databaseUrl;
  return typeof login === 'string' ? { url: login, passwordFile: null } : login;
}

/** Tokens live for minutes, and whoever writes them replaces the file in time. Editors end it with a line break. */
async function readPassword(path: string): Promise<string> {
  return (await readFile(path, 'utf8')).replace(/[\r\n]+$/, '');
}
