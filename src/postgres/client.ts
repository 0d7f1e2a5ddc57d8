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
    // The pool's way is the callback. It has to be called by the driver itself: a server may end a connection in the
    // moment in which it is made, and only the callback begins to listen for errors.
    const connect = () => (callback ? super.connect(callback) : super.connect()) as Promise<pg.Client> | undefined;
    if (this.#passwordFile === null) return connect();
    const ready = readPassword(this.#passwordFile).then(password => {
      this.password = password;
    });
    if (!callback) return ready.then(() => super.connect());
    ready.then(connect, callback as (error: Error) => void);
    return undefined;
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
