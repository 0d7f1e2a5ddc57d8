import { bytes, wholeNumber } from '../formats/format.ts';
import { duration } from '../formats/time.ts';
import { setting } from '../setting.ts';

/** Bounds on what clients may ask for. */
export const bounds = {
  limits: {
    recipients: setting({
      doc: "The most recipients of one message; further ones get 452, and clients send those in a second message. `0`: 1000 in the standalone pipeline, 50 in the opensend pipeline, which is also the most there, because OpenSend's worker sends each message with one SES call.",
      format: wholeNumber(0, 10_000),
      default: 0,
      reloadable: true,
    }),
    attachmentBytes: setting({
      doc: 'The most bytes that all attachments of a message may have together, counted after Base64 without line breaks (default 40MiB).',
      format: bytes(0),
      default: 41_943_040,
      reloadable: true,
    }),
    bytesInFlight: setting({
      doc: 'The most bytes of messages that are being received or stored at one time, over all connections (default 256MiB). Past it, clients get 452 and try again. Messages of up to 64 KiB have a sixteenth of this on top, which larger ones never take. It bounds memory: allow the relay about this much on top of 450 MB.',
      format: bytes(1),
      default: 268_435_456,
      reloadable: true,
    }),
    bytesShare: setting({
      doc: 'Which share of `limits.bytesInFlight` the messages of one API key may take, of what the messages of other keys leave, in per cent; further ones get 452. So no key can take all of it, and a new one always finds some. An owner with several keys may have this share and the same share of the rest. One message of `maxMessageSizeBytes` always fits. `100`: one key may take all.',
      format: wholeNumber(1, 100),
      default: 75,
      reloadable: true,
    }),
    connections: setting({
      doc: 'The most client connections at one time; further ones get 421.',
      format: wholeNumber(1, 1_000_000),
      default: 10_000,
      reloadable: true,
    }),
    connectionsPerAddress: setting({
      doc: 'The most connections of one client address to this pod at one time; further ones get 421. An IPv6 network of 64 bits counts as one address. `0`: no limit of its own.',
      format: wholeNumber(0, 1_000_000),
      default: 0,
      reloadable: true,
    }),
    addressShare: setting({
      doc: 'Which share of `limits.connections` one client address may hold on a pod with connections that have not logged in, in per cent; further ones get 421. It leaves room for others, whatever one address opens, and takes nothing from clients that log in: also where a load balancer without the PROXY protocol, or Kubernetes (`externalTrafficPolicy: Cluster`), makes all of them come from one address. `100`: no such bound.',
      format: wholeNumber(1, 100),
      default: 75,
      reloadable: true,
    }),
    sessionsPerKey: setting({
      doc: 'The most sessions of one API key on this pod at one time; further log-ins get 421. `0`: no limit of its own.',
      format: wholeNumber(0, 1_000_000),
      default: 0,
      reloadable: true,
    }),
    keyShare: setting({
      doc: 'Which share of `limits.connections` the sessions of one API key may take on a pod, in per cent; further log-ins get 421. Set it below 100 where several applications share the relay.',
      format: wholeNumber(1, 100),
      default: 100,
      reloadable: true,
    }),
    failedLogins: setting({
      doc: 'How many failed log-ins a connection may have; one more is answered 421 and ends it.',
      format: wholeNumber(1, 1000),
      default: 10,
      reloadable: true,
    }),
    failedLoginsPerAddress: setting({
      doc: 'How many failed log-ins one client address may have, on all pods together, before each further log-in from it has to wait: 1 s, then 2 s, 4 s, up to `limits.loginDelay`. Keys that logged in from there within the last hour do not wait. `0`: nobody waits.',
      format: wholeNumber(0, 1_000_000),
      default: 100,
      reloadable: true,
    }),
    failedLoginsPerKey: setting({
      doc: 'The same for one wrong key, wherever it is tried from: a revoked key that many machines still use.',
      format: wholeNumber(0, 1_000_000),
      default: 100,
      reloadable: true,
    }),
    failedLoginsPeriod: setting({
      doc: 'How long failed log-ins of an address or key count after the last one.',
      format: duration,
      default: 900_000,
      reloadable: true,
    }),
    loginDelay: setting({
      doc: 'The longest that a log-in has to wait after failed ones.',
      format: duration,
      default: 10_000,
      reloadable: true,
    }),
    messagesPerMinute: setting({
      doc: 'The most messages that one API key may send in a minute, on all pods together; further ones get 450. `0`: no limit.',
      format: wholeNumber(0),
      default: 0,
      reloadable: true,
    }),
    recipientsPerMinute: setting({
      doc: 'The most recipients that the messages of one API key may have in a minute, on all pods together. One message may have no more either. `0`: no limit.',
      format: wholeNumber(0),
      default: 0,
      reloadable: true,
    }),
    messagesPerDay: setting({
      doc: 'The most messages that one API key may send in a day (UTC), on all pods together; further ones get 450. `0`: no limit.',
      format: wholeNumber(0),
      default: 0,
      reloadable: true,
    }),
    recipientsPerDay: setting({
      doc: 'The most recipients that the messages of one API key may have in a day (UTC), on all pods together. One message may have no more either. `0`: no limit.',
      format: wholeNumber(0),
      default: 0,
      reloadable: true,
    }),
    headerBytes: setting({
      doc: 'The most bytes that the header of a message may have (default 1MiB). A line counts for 64 at least.',
      format: bytes(1),
      default: 1_048_576,
      reloadable: true,
    }),
    mimeDepth: setting({
      doc: 'How deep the parts of a message may be nested.',
      format: wholeNumber(1, 1000),
      default: 100,
      reloadable: true,
    }),
    mimeParts: setting({
      doc: 'The most parts that a message may have.',
      format: wholeNumber(1, 100_000),
      default: 1000,
      reloadable: true,
    }),
    loginTimeout: setting({
      doc: 'How long a connection may take from its first byte to its log-in, TLS included; then it gets 421. Clients of `trustedNetworks` need not log in.',
      format: duration,
      default: 60_000,
      reloadable: true,
    }),
    idleTimeout: setting({
      doc: 'How long a connection may stay silent before it is ended (421): since its last whole command, or the last bytes of a message.',
      format: duration,
      default: 300_000,
      reloadable: true,
    }),
    dataTimeout: setting({
      doc: 'How long a client may take to send one message after DATA.',
      format: duration,
      default: 600_000,
      reloadable: true,
    }),
    dataRate: setting({
      doc: 'The bytes a second that a client has to send of a message, on average over the last `limits.dataGrace`; a slower one gets 421. `0`: no such limit.',
      format: bytes(0),
      default: 100,
      reloadable: true,
    }),
    dataGrace: setting({
      doc: 'How long a client may be slower than `limits.dataRate`, after DATA and later on.',
      format: duration,
      default: 60_000,
      reloadable: true,
    }),
    sessionTimeout: setting({
      doc: 'How long one connection may last, however busy it is.',
      format: duration,
      default: 3_600_000,
      reloadable: true,
    }),
  },
};
