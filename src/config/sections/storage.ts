import { line, sslMode } from '../formats/access.ts';
import { awsRegion, bytes, httpUrl, oneOf, optional, path, port, postgresUrl, wholeNumber } from '../formats/format.ts';
import { duration } from '../formats/time.ts';
import { OPENSEND_DELIVERS, setting } from '../setting.ts';

/** Where the database is, without who logs in. */
function withoutLogin(databaseUrl: string): string {
  const url = URL.parse(databaseUrl.replace('@/', '@socket/'));
  if (url === null) return databaseUrl;
  url.username = '';
  url.password = '';
  for (const name of ['user', 'password']) url.searchParams.delete(name);
  return url.href;
}

/** Where messages are kept, and where the send jobs go. */
export const storage = {
  databaseUrl: setting({
    doc: 'The Postgres database that holds API keys, messages and suppressions. TLS: append `?sslmode=verify-full`. What it leaves out comes from `database.host` and its neighbours, the `PG*` variables; with `PGHOST` set it may be left out itself. A new user or password counts for new connections at once; all else in it after a restart.',
    format: optional(postgresUrl),
    default: '',
    env: 'DATABASE_URL',
    reloadable: true,
    takeOver: (running, loaded) => (withoutLogin(running) === withoutLogin(loaded) ? loaded : running),
    sensitive: true,
    required: true,
    substitute: 'database.host',
  }),
  migrationsDatabaseUrl: setting({
    doc: 'The same database without a pooler in between, for migrations: those of `smtp-relay migrate` and those at the start. Empty: they go where `databaseUrl` points.',
    format: optional(postgresUrl),
    default: '',
    env: 'MIGRATIONS_DATABASE_URL',
    reloadable: true,
    sensitive: true,
    substitute: 'databaseUrl',
  }),
  queueUrl: setting({
    doc: 'The SQS queue that send jobs are published to. Empty: nothing is published, and the worker takes queued messages from the database.',
    format: optional(httpUrl),
    default: '',
    env: 'BACKGROUND_JOBS_QUEUE_URL',
  }),
  awsRegion: setting({
    doc: "The AWS region of the queue. The AWS SDK's own variables (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL_SQS` and the like) work as usual.",
    format: awsRegion,
    default: 'us-east-1',
    env: 'AWS_REGION',
  }),
  sqsEndpoint: setting({
    doc: "Where SQS is, if not where the queue's URL or the region says: for an emulator, a private endpoint or a proxy. Takes precedence over the host in the queue's URL. `AWS_ENDPOINT_URL`, for all services of AWS, counts where this is not set.",
    format: optional(httpUrl),
    default: '',
    env: 'AWS_ENDPOINT_URL_SQS',
    generalEnv: 'AWS_ENDPOINT_URL',
  }),
  migrations: setting({
    doc: 'Whether the relay brings the database schema up to date when it starts. `none`: run `smtp-relay migrate` yourself, before each upgrade.',
    format: oneOf('auto', 'none'),
    default: 'auto',
  }),
  preparedStatements: setting({
    doc: 'Whether Postgres keeps statements for their next time, which spares it more than half of its work for a small message. `auto`: those that come with every message, where no pooler stands in between, which each connection finds out for itself. `on`: all, also behind a pooler, which has to know of prepared statements (PgBouncer 1.21). `off`: none.',
    format: oneOf('auto', 'on', 'off'),
    default: 'auto',
  }),
  database: {
    host: setting({
      doc: 'The host of the database, or the folder of its socket, where `databaseUrl` names none.',
      format: line,
      default: '',
      env: 'PGHOST',
    }),
    port: setting({
      doc: 'The port of the database, where `databaseUrl` names none. 0: 5432.',
      format: port,
      default: 0,
      env: 'PGPORT',
    }),
    name: setting({
      doc: 'The name of the database, where `databaseUrl` names none. Empty: the name of the user.',
      format: line,
      default: '',
      env: 'PGDATABASE',
    }),
    user: setting({
      doc: 'Who logs in to the database, where `databaseUrl` does not say. A new one counts for new connections.',
      format: line,
      default: '',
      env: 'PGUSER',
      reloadable: true,
    }),
    password: setting({
      doc: 'The password for the database, where `databaseUrl` has none. A new one counts for new connections.',
      format: line,
      default: '',
      env: 'PGPASSWORD',
      reloadable: true,
      sensitive: true,
    }),
    passwordFile: setting({
      doc: 'A file that holds the password for the database and is read at each new connection: for tokens that are replaced every few minutes, such as those of IAM. It counts in place of every other password.',
      format: optional(path),
      default: '',
      env: 'DATABASE_PASSWORD_FILE',
      reloadable: true,
    }),
    sslMode: setting({
      doc: "TLS to the database, where `databaseUrl` does not say (`sslmode`). `verify-full` checks the certificate's authority and the host's name, and so do `prefer`, `require` and `verify-ca` here; `no-verify` encrypts and checks nothing. Empty: no TLS, unless an authority is named (`database.tlsCaFile`, `database.sslRootCert`) or the host is under `amazonaws.com`.",
      format: sslMode,
      default: '',
      env: 'PGSSLMODE',
    }),
    sslRootCert: setting({
      doc: "The authority's certificate that the database's certificate is checked with, a PEM file, where `databaseUrl` names none (`sslrootcert`). It is read at each new connection. Empty: the authorities that Node knows.",
      format: optional(path),
      default: '',
      env: 'PGSSLROOTCERT',
    }),
    tlsCaFile: setting({
      doc: "The authority's certificate, or a bundle of several, that the database's certificate is checked with: a PEM file, for instance the bundle that AWS has for RDS. It asks for TLS with all checks where `sslmode` says nothing else, and counts where `databaseUrl` names no `sslrootcert`, before `database.sslRootCert`. It is read at each new connection. Empty: a database under `amazonaws.com` is connected to by TLS unverified, with a warning, unless `sslmode` or `database.sslRootCert` says something.",
      format: optional(path),
      default: '',
    }),
    poolSize: setting({
      doc: 'The most connections that one relay process keeps to the database.',
      format: wholeNumber(1, 1000),
      default: 10,
    }),
    connectTimeout: setting({
      doc: 'How long to wait for a database connection before the client is asked to try again (451).',
      format: duration,
      default: 5000,
    }),
    statementTimeout: setting({
      doc: 'How long one database statement may take before it is cancelled.',
      format: duration,
      default: 30_000,
    }),
  },
  originals: {
    store: setting({
      doc: 'Where messages are kept as they were received. `postgres`: in the database. `s3`: those of more than `originals.objectBytes` in object storage, so that the database grows by a few KB a message whatever its size; smaller ones stay in the database. What is in either place is found there under both.',
      format: oneOf('postgres', 's3'),
      default: 'postgres',
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    objectBytes: setting({
      doc: 'With `originals.store: s3`, messages of more bytes go there. Smaller ones share a commit, which is quicker than an object.',
      format: bytes(65_536),
      default: 262_144,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    s3: {
      bucket: setting({
        doc: 'The bucket. It belongs to one installation, and nobody else may remove what is below the prefix. Another one counts for what comes from then on.',
        format: line,
        default: '',
        standaloneOnly: OPENSEND_DELIVERS,
      }),
      prefix: setting({
        doc: 'What keys begin with, such as `mail/`; behind it stand the day and the id: `mail/2026/11/29/<id>.eml`.',
        format: line,
        default: '',
        standaloneOnly: OPENSEND_DELIVERS,
      }),
      region: setting({
        doc: 'The region of the bucket. Empty: `awsRegion`.',
        format: optional(awsRegion),
        default: '',
        standaloneOnly: OPENSEND_DELIVERS,
      }),
      endpoint: setting({
        doc: 'Where S3 is, if not where the region says: for another object storage that speaks S3, or an emulator. The bucket is then named in the path, and not in the host. `AWS_ENDPOINT_URL`, for all services of AWS, counts where this is not set.',
        format: optional(httpUrl),
        default: '',
        env: 'AWS_ENDPOINT_URL_S3',
        generalEnv: 'AWS_ENDPOINT_URL',
        standaloneOnly: OPENSEND_DELIVERS,
      }),
      encryption: setting({
        doc: 'How objects are encrypted where they are kept. `bucket`: as the bucket is set, which is `AES256` unless somebody chose otherwise. `AES256`: with keys of S3. `aws:kms`: with a key of KMS.',
        format: oneOf('bucket', 'AES256', 'aws:kms'),
        default: 'bucket',
        standaloneOnly: OPENSEND_DELIVERS,
      }),
      kmsKeyId: setting({
        doc: 'The key of KMS for `aws:kms`: its id, alias or ARN. Empty: the one that AWS has for S3 in the account.',
        format: line,
        default: '',
        standaloneOnly: OPENSEND_DELIVERS,
      }),
    },
  },
  publishing: {
    concurrency: setting({
      doc: 'How many batches of up to ten send jobs are on their way to the queue at the same time.',
      format: wholeNumber(1, 100),
      default: 8,
    }),
    sweepInterval: setting({
      doc: 'How often each relay looks for send jobs that are stored but not published, because the queue was down or another relay died.',
      format: duration,
      default: 2000,
    }),
    leaseTime: setting({
      doc: 'How long a relay has to publish the send jobs it took; after that another relay may take them.',
      format: duration,
      default: 5000,
    }),
  },
};
