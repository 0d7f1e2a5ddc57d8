import { awsRegion, boolean, bytes, httpUrl, oneOf, optional, path, port, wholeNumber } from '../formats.ts';
import { configurationSet, password, roleArn, serverHost, userName } from '../formats-delivery.ts';
import { routes } from '../formats-routes.ts';
import { duration } from '../formats-time.ts';
import { setting } from '../setting.ts';
import { OPENSEND_DELIVERS } from './opensend.ts';

/** How the standalone worker takes messages up and hands them on. */
export const delivery = {
  worker: {
    consumers: setting({
      doc: 'How many receivers ask the queue for jobs at the same time, ten jobs each. One asks again only when its ten are done.',
      format: wholeNumber(1, 100),
      default: 16,
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    concurrency: setting({
      doc: 'How many messages one worker sends at the same time.',
      format: wholeNumber(1, 1000),
      default: 64,
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    bytesInFlight: setting({
      doc: 'The most bytes of messages that one worker has in memory for sending. A larger message is sent alone.',
      format: bytes(1),
      default: 33_554_432,
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    leaseTime: setting({
      doc: 'How long a message belongs to a worker that is not heard of. It is renewed while the worker works; after its end another worker goes on with the message.',
      format: duration,
      default: 60_000,
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    pollInterval: setting({
      doc: 'How often the worker looks into the database for what nobody told it of: jobs (without a queue), claims that ran out, due webhooks.',
      format: duration,
      default: 1000,
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    republishAfter: setting({
      doc: 'How long a message may be `queued` before its job counts as lost and is published again. The pause doubles with each time.',
      format: duration,
      default: 600_000,
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
  },
  retries: {
    firstPause: setting({
      doc: 'How long after a temporary failure a message is tried again. The pause grows with each failure, and is spread at random.',
      format: duration,
      default: 10_000,
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    longestPause: setting({
      doc: 'The longest pause between two tries.',
      format: duration,
      default: 3_600_000,
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    limit: setting({
      doc: 'How long after its first try a message is still tried. After that it has failed.',
      format: duration,
      default: 86_400_000,
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
  },
  onUnknownOutcome: setting({
    doc: 'What happens to a message of which nobody knows whether it was sent: the connection broke after the request, or the worker died during it. `retry`: it is sent again, and may arrive twice. `hold`: it waits for `smtp-relay emails resolve`.',
    format: oneOf('retry', 'hold'),
    default: 'retry',
    reloadable: false,
    standaloneOnly: OPENSEND_DELIVERS,
  }),
  failureNotices: setting({
    doc: 'Whether the sender of a message that failed for good gets a notice by mail (RFC 3464). Events and webhooks tell in any case.',
    format: oneOf('on', 'off'),
    default: 'off',
    reloadable: false,
    standaloneOnly: OPENSEND_DELIVERS,
  }),
  routes: setting({
    doc: "Which transport takes the messages of which sender domains: the first route with the domain of From counts, and for all other domains `transport`. `domains` has names (`acme.com`), or `*.` and a name for all domains below it. What a route's `ses`, `smtp` or `capture` leaves out is as in the settings of that name; but a `host` of its own has no `user` and `password` from there, and a `region` or `configurationSet` of its own also stands above that of the domain. `passwordFile` names a file with the password.",
    format: routes,
    default: [],
    reloadable: true,
    sensitive: true,
    standaloneOnly: OPENSEND_DELIVERS,
  }),
  ses: {
    endpoint: setting({
      doc: 'Where Amazon SES is, if not where the region says: for an emulator, a private endpoint or a proxy.',
      format: optional(httpUrl),
      default: '',
      env: 'AWS_ENDPOINT_URL_SESV2',
      generalEnv: 'AWS_ENDPOINT_URL',
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    region: setting({
      doc: "The SES region of messages whose domain is not one of the owner's, and has no region of its own therefore. Empty: `awsRegion`.",
      format: optional(awsRegion),
      default: '',
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    configurationSet: setting({
      doc: 'The SES configuration set of messages whose domain has none of its own. Events come back only by a configuration set with an event destination.',
      format: optional(configurationSet),
      default: '',
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    roleArn: setting({
      doc: 'A role to assume for sending, in another account for instance. Empty: the credentials of the AWS SDK as they are.',
      format: optional(roleArn),
      default: '',
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    sendRate: setting({
      doc: 'Recipients a second over all workers. `0`: what SES says of the account (`GetAccount`). Throttling lowers it for a while.',
      format: wholeNumber(0, 1_000_000),
      default: 0,
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    timeout: setting({
      doc: 'How long one call may take. One that takes longer has an unknown outcome.',
      format: duration,
      default: 60_000,
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
  },
  smtp: {
    host: setting({
      doc: 'The smarthost of the transport `smtp`.',
      format: optional(serverHost),
      default: '',
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    port: setting({
      doc: 'Its port.',
      format: port,
      default: 587,
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    security: setting({
      doc: '`starttls`: TLS is asked for, and nothing is sent without it. `tls`: TLS from the first byte, usually on port 465. `none`: in clear text, for a server on the same machine.',
      format: oneOf('starttls', 'tls', 'none'),
      default: 'starttls',
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    user: setting({
      doc: 'The user to log in as. Empty: no log-in.',
      format: optional(userName),
      default: '',
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    password: setting({
      doc: 'The password of that user.',
      format: optional(password),
      default: '',
      reloadable: false,
      sensitive: true,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    connections: setting({
      doc: 'How many connections one worker keeps to the smarthost.',
      format: wholeNumber(1, 1000),
      default: 10,
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    timeout: setting({
      doc: 'How long the smarthost may take to answer one command. After the end of DATA, ten times as long.',
      format: duration,
      default: 60_000,
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
    caPath: setting({
      doc: "The PEM file of the authority that signed the smarthost's certificate. Empty: those that Node trusts.",
      format: optional(path),
      default: '',
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
  },
  capture: {
    directory: setting({
      doc: 'The folder into which the transport `capture` writes each message as `.eml`, and its envelope as `.json`.',
      format: path,
      default: 'captured',
      reloadable: false,
      standaloneOnly: OPENSEND_DELIVERS,
    }),
  },
  fairQueue: setting({
    doc: "Whether jobs on a standard SQS queue carry their owner as message group (SQS fair queues), so that one owner's many messages do not hold up another's.",
    format: boolean,
    default: true,
    reloadable: false,
  }),
};
