import { bytes, duration, wholeNumber } from '../formats.ts';
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
      doc: 'The most bytes of messages that are being received or stored at one time, over all connections (default 256MiB). Past it, clients get 452 and try again. It bounds memory: allow the relay about this much on top of 200 MB.',
      format: bytes(1),
      default: 268_435_456,
      reloadable: true,
    }),
    connections: setting({
      doc: 'The most client connections at one time; further ones get 421.',
      format: wholeNumber(1, 1_000_000),
      default: 10_000,
      reloadable: true,
    }),
    failedLogins: setting({
      doc: 'How many failed log-ins a connection may have; one more is answered 421 and ends it.',
      format: wholeNumber(1, 1000),
      default: 10,
      reloadable: true,
    }),
    headerBytes: setting({
      doc: 'The most bytes that the header of a message may have (default 1MiB).',
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
    idleTimeout: setting({
      doc: 'How long a connection may stay silent before it is ended (421).',
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
    sessionTimeout: setting({
      doc: 'How long one connection may last, however busy it is.',
      format: duration,
      default: 3_600_000,
      reloadable: true,
    }),
  },
};
