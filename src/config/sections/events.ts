import { httpUrl, list, listenAddress, networks, optional, port, secrets, wholeNumber } from '../formats/format.ts';
import { duration, period } from '../formats/time.ts';
import { OPENSEND_HEARS, OPENSEND_KEEPS, OPENSEND_TELLS, OPENSEND_TRACKS, setting } from '../setting.ts';

/** What comes back of messages, and who hears of it. */
export const events = {
  httpHost: setting({
    doc: 'The address of the operational listener: health and metrics. It is not for the public.',
    format: listenAddress,
    default: '0.0.0.0',
    env: 'SMTP_RELAY_HTTP_HOST',
  }),
  httpPort: setting({
    doc: 'Its port. `0`: no operational listener. Where it is not set and another process has the default, there is a warning and none either.',
    format: port,
    default: 8080,
    env: 'SMTP_RELAY_HTTP_PORT',
  }),
  publicHost: setting({
    doc: "The address of the worker's public listener: opens, clicks, and notifications of SES by SNS.",
    format: listenAddress,
    default: '0.0.0.0',
    env: 'SMTP_RELAY_PUBLIC_HOST',
    standaloneOnly: OPENSEND_TRACKS,
  }),
  publicPort: setting({
    doc: 'Its port; a proxy in front of it does TLS. `0`: no public listener.',
    format: port,
    default: 8081,
    env: 'SMTP_RELAY_PUBLIC_PORT',
    standaloneOnly: OPENSEND_TRACKS,
  }),
  tracking: {
    baseUrl: setting({
      doc: 'Where recipients reach the public listener, such as `https://track.example.com`. Domains with a `tracking_subdomain` use that instead. Without either, opens and clicks are not tracked.',
      format: optional(httpUrl),
      default: '',
      env: 'TRACKING_BASE_URL',
      standaloneOnly: OPENSEND_TRACKS,
    }),
    secrets: setting({
      doc: 'The secrets that sign tracking links, separated by commas. The first one signs; links signed by any of them are good, so that a new one is put in front and the old one removed when its links no longer matter.',
      format: secrets('of at least one character', secret => secret !== ''),
      default: [],
      env: 'TRACKING_SECRET',
      reloadable: true,
      sensitive: true,
      standaloneOnly: OPENSEND_TRACKS,
    }),
    hitsPerHour: setting({
      doc: 'How many opens and clicks of one message each worker records in an hour. Further ones lead on and are counted in `smtp_relay_tracking_hits_total`, but make no events and no webhooks.',
      format: wholeNumber(1, 1_000_000),
      default: 200,
      reloadable: true,
      standaloneOnly: OPENSEND_TRACKS,
    }),
  },
  events: {
    snsTopics: setting({
      doc: 'The ARNs of the SNS topics whose notifications of SES are taken at `/events/sns` of the public listener. Empty: none are.',
      format: list(
        'ARNs of SNS topics',
        /^arn:[a-z0-9-]+:sns:[a-z0-9-]+:\d{12}:[\w-]{1,256}(?:\.fifo)?$/,
        '^arn:\\S+$',
      ),
      default: [],
      reloadable: true,
      standaloneOnly: OPENSEND_HEARS,
    }),
    queueUrl: setting({
      doc: 'An SQS queue that notifications of SES arrive on, by SNS or EventBridge. Empty: none.',
      format: optional(httpUrl),
      default: '',
      standaloneOnly: OPENSEND_HEARS,
    }),
  },
  webhooks: {
    secretKeys: setting({
      doc: 'The keys that encrypt the signing secrets of webhooks in the database: 32 bytes in Base64 each (`openssl rand -base64 32`), separated by commas. The first one encrypts, all decrypt.',
      format: secrets('of 32 bytes in Base64', key => Buffer.from(key, 'base64').length === 32),
      default: [],
      sensitive: true,
      standaloneOnly: OPENSEND_TELLS,
    }),
    concurrency: setting({
      doc: 'How many deliveries to one endpoint are under way at once, from one worker.',
      format: wholeNumber(1, 1000),
      default: 8,
      standaloneOnly: OPENSEND_TELLS,
    }),
    timeout: setting({
      doc: 'How long an endpoint may take to answer.',
      format: duration,
      default: 10_000,
      standaloneOnly: OPENSEND_TELLS,
    }),
    allowedNetworks: setting({
      doc: 'Networks of private, loopback or link-local addresses that endpoints may be in all the same. Otherwise such addresses are refused.',
      format: networks,
      default: [],
      standaloneOnly: OPENSEND_TELLS,
    }),
    disableAfter: setting({
      doc: 'How long an endpoint may fail, on several occasions and without one success, before it is disabled.',
      format: duration,
      default: 432_000_000,
      standaloneOnly: OPENSEND_TELLS,
    }),
  },
  retention: {
    messages: setting({
      doc: 'How long a message that is done is kept at all, from when it came in. Then its row in `emails` is deleted, and with it its events, attempts, webhook deliveries and what was received, however long they were to be kept. Not deleted are messages that may still be sent, and those of which a webhook is still to hear.',
      format: period,
      default: 31_536_000_000,
      standaloneOnly: OPENSEND_KEEPS,
    }),
    raw: setting({
      doc: 'How long a message is kept as it was received, after which it cannot be sent again. Only messages that are done are touched, here and below.',
      format: period,
      default: 2_592_000_000,
      standaloneOnly: OPENSEND_KEEPS,
    }),
    bodies: setting({
      doc: 'How long the text, HTML and attachments in `emails` are kept.',
      format: period,
      default: Number.POSITIVE_INFINITY,
      standaloneOnly: OPENSEND_KEEPS,
    }),
    events: setting({
      doc: 'How long events are kept.',
      format: period,
      default: Number.POSITIVE_INFINITY,
      standaloneOnly: OPENSEND_KEEPS,
    }),
    deliveries: setting({
      doc: 'How long webhook deliveries that are done are kept.',
      format: period,
      default: 2_592_000_000,
      standaloneOnly: OPENSEND_KEEPS,
    }),
  },
};
