import { boolean, bytes, eitherOf, oneOf, optional, path, wholeNumber } from '../formats/format.ts';
import { routes } from '../formats/routes.ts';
import { duration } from '../formats/time.ts';
import { deliverySetting, setting } from '../setting.ts';
import { TRANSPORT_KINDS, transportSettings } from '../transports/list.ts';

/** How the standalone worker takes messages up and hands them on. */
export const delivery = {
  worker: {
    consumers: deliverySetting({
      doc: 'How many receivers ask the queue for jobs at the same time, ten jobs each. They ask on while there is room for what they bring.',
      format: wholeNumber(1, 100),
      default: 16,
    }),
    concurrency: deliverySetting({
      doc: 'How many messages one worker sends at the same time.',
      format: wholeNumber(1, 1000),
      default: 128,
    }),
    callsPerRoute: deliverySetting({
      doc: 'How many of those go by the same way out at most: by SES with one account in one region, or by one smarthost (which also has `smtp.connections`). `0`: three quarters of `worker.concurrency`, so that one that hangs leaves places for the others.',
      format: wholeNumber(0, 1000),
      default: 0,
    }),
    bytesInFlight: deliverySetting({
      doc: 'The most bytes of messages that one worker has in memory for sending: one half for those of up to 1 MiB, and one for larger ones, so that these never wait for each other. Of a large message 4 MiB count, since it is read from the database while it goes out. The few that have to be in memory as a whole have as many bytes again, or are alone.',
      format: bytes(1),
      default: 33_554_432,
    }),
    leaseTime: deliverySetting({
      doc: 'How long a message belongs to a worker that is not heard of. It is renewed while the worker works; after its end another worker goes on with the message.',
      format: duration,
      default: 60_000,
    }),
    pollInterval: deliverySetting({
      doc: 'How often the worker looks into the database for what nobody told it of: jobs (without a queue), claims that ran out, due webhooks.',
      format: duration,
      default: 1000,
    }),
    journal: deliverySetting({
      doc: 'The folder for outcomes that the database did not take: a worker that ends before it could write them down leaves them there, and the next one that starts writes them, in place of sending those messages again. Empty: `smtp-relay-journal` in the folder of the system for temporary files.',
      format: optional(path),
      default: '',
    }),
    republishAfter: deliverySetting({
      doc: 'How long a message may be `queued` before its job counts as lost and is published again. The pause doubles with each time.',
      format: duration,
      default: 600_000,
    }),
  },
  retries: {
    firstPause: deliverySetting({
      doc: 'How long after a temporary failure a message is tried again. The pause grows with each failure, and is spread at random.',
      format: duration,
      default: 10_000,
    }),
    longestPause: deliverySetting({
      doc: 'The longest pause between two tries.',
      format: duration,
      default: 3_600_000,
    }),
    limit: deliverySetting({
      doc: 'How long after its first try a message is still tried. After that it has failed. The time stands still while its way out cannot be used, which is no fault of the message: nobody answers there, the log-in is refused, or the account is paused, throttled, or has used up the quota of its day.',
      format: duration,
      default: 86_400_000,
    }),
    maxAge: deliverySetting({
      doc: 'How long after its acceptance a message is given up whose way out still cannot be used (default 5d).',
      format: duration,
      default: 432_000_000,
    }),
  },
  onUnknownOutcome: deliverySetting({
    doc: 'What happens to a message of which nobody knows whether it was sent: the connection broke after the request, or the worker died during it. `retry`: it is sent again, and may arrive twice. `hold`: it waits for `smtp-relay emails resolve`.',
    format: oneOf('retry', 'hold'),
    default: 'retry',
  }),
  failureNotices: deliverySetting({
    doc: 'Whether the sender of a message that failed for good gets a notice by mail (RFC 3464). Events and webhooks tell in any case.',
    format: oneOf('on', 'off'),
    default: 'off',
  }),
  routes: deliverySetting({
    doc: [
      "Which transport takes the messages of which sender domains: the first route with the domain of From counts, and for all other domains `transport`. `domains` has names (`acme.com`), or `*.` and a name for all domains below it. What a route's",
      eitherOf(TRANSPORT_KINDS.map(kind => `\`${kind}\``)),
      'leaves out is as in the settings of that name; but a `host` of its own has no `user` and `password` from there, and a `region` or `configurationSet` of its own also stands above that of the domain. `passwordFile` names a file with the password.',
    ].join(' '),
    format: routes,
    default: [],
    reloadable: true,
    sensitive: true,
  }),
  ...transportSettings,
  fairQueue: setting({
    doc: "Whether jobs on a standard SQS queue carry their owner as message group (SQS fair queues), so that one owner's many messages do not hold up another's.",
    format: boolean,
    default: true,
  }),
};
