import { allowList } from '../formats/access.ts';
import { bytes, oneOf, wholeNumber } from '../formats/format.ts';
import { delay, duration } from '../formats/time.ts';
import { OPENSEND_DELIVERS, OPENSEND_SIMULATES, setting } from '../setting.ts';
import { TRANSPORT_KINDS, TRANSPORTS } from '../transports/list.ts';

const TRANSPORT_NAMES = TRANSPORT_KINDS.map(kind => TRANSPORTS[kind].what);

/** What is done with a message. */
export const messages = {
  pipeline: setting({
    doc: "`opensend`: beside an OpenSend installation, whose worker delivers. `standalone`: this project's own worker delivers, and the message is kept as it was received.",
    format: oneOf('opensend', 'standalone'),
    default: 'opensend',
  }),
  transport: setting({
    doc: `What the standalone worker hands messages to: ${TRANSPORT_NAMES.slice(0, -1).join(', ')}, or ${TRANSPORT_NAMES.at(-1)}.`,
    format: oneOf(...TRANSPORT_KINDS),
    default: 'ses',
    standaloneOnly: OPENSEND_DELIVERS,
  }),
  recipients: setting({
    doc: 'Who gets a message. `envelope`: exactly the addresses of RCPT TO, so that Bcc works. `headers`: the To, Cc and Bcc headers decide and RCPT TO is ignored.',
    format: oneOf('envelope', 'headers'),
    default: 'envelope',
    reloadable: true,
  }),
  suppression: setting({
    doc: "What a recipient on the owner's suppression list does. `message`: the whole message is refused (550). `recipient`: only that RCPT TO is refused, and the others still get the message.",
    format: oneOf('message', 'recipient'),
    default: 'message',
    reloadable: true,
  }),
  recipientAllowList: setting({
    doc: 'For staging: who may get mail at all, as addresses (`qa@acme.com`), domains (`acme.com`) or all domains below one (`*.acme.com`). Empty: everybody.',
    format: allowList,
    default: [],
    reloadable: true,
  }),
  recipientsElsewhere: setting({
    doc: 'What a recipient outside `recipientAllowList` does. `refuse`: that recipient is refused (550). `capture`: the message is accepted, and goes as a whole to the transport `capture`, to nobody else (standalone pipeline only).',
    format: oneOf('refuse', 'capture'),
    default: 'refuse',
    reloadable: true,
  }),
  simulatedRecipients: setting({
    doc: "Whether mail for test addresses is only played, with all events, and to nobody: `delivered`, `bounced`, `complained` and `suppressed` at `resend.dev`, also with `+label`, and those of SES's simulator where the transport is not `ses`. `off`: they are addresses like others.",
    format: oneOf('on', 'off'),
    default: 'on',
    reloadable: true,
    standaloneOnly: OPENSEND_SIMULATES,
  }),
  simulatedDelay: setting({
    doc: 'How long it takes on average until something is told of mail that is only played: that a server has taken or refused it, and after as long again that somebody complains. Each time from half to one and a half of it, so that an application meets events in the order and at the pace of production. `0s`: all of it at once.',
    format: delay,
    default: 2_000,
    reloadable: true,
    standaloneOnly: OPENSEND_SIMULATES,
  }),
  senderDomains: setting({
    doc: "Which domains a key without a domain of its own may send from. `owned`: those in the owner's `domains`. `any`: every one. `auto`: `owned` in the standalone pipeline, `any` in the opensend pipeline.",
    format: oneOf('owned', 'any', 'auto'),
    default: 'auto',
    reloadable: true,
  }),
  bareLineEndings: setting({
    doc: 'What a CR or LF that stands alone in a message does. `reject`: the message is refused (550). `accept`: it is read as a line ending, for old printers and devices. It never ends a message.',
    format: oneOf('reject', 'accept'),
    default: 'reject',
    reloadable: true,
  }),
  longLines: setting({
    doc: 'What a line of more than 998 bytes does, which no mail server has to take. `encode`: header fields are folded and parts encoded as quoted-printable or Base64 when the message is sent, unless it is signed or encrypted. `refuse`: the message is refused (554). The transport `capture` takes them as they are.',
    format: oneOf('encode', 'refuse'),
    default: 'encode',
    reloadable: true,
    standaloneOnly: OPENSEND_DELIVERS,
  }),
  receivedHeader: setting({
    doc: 'The `Received:` header field that the standalone worker puts on top of each message. `full`: with the name and address of the client. `private`: without them. `off`: none.',
    format: oneOf('full', 'private', 'off'),
    default: 'private',
    reloadable: true,
    standaloneOnly: OPENSEND_DELIVERS,
  }),
  maxMessageSizeBytes: setting({
    doc: 'The largest message, as it is sent over the connection, in bytes. The default, 45MiB, leaves room for 40 MiB of Base64 attachments, their line breaks and the text.',
    format: bytes(1),
    default: 47_185_920,
    reloadable: true,
  }),
  parsing: {
    threadBytes: setting({
      doc: 'Messages larger than this, in bytes, are read on a thread of their own, so that they do not hold up small ones.',
      format: bytes(0),
      default: 65_536,
    }),
    threads: setting({
      doc: 'How many such threads there are. Each takes about one CPU core while it reads a message.',
      format: wholeNumber(1, 64),
      default: 1,
    }),
    timeout: setting({
      doc: 'How long reading one message may take on such a thread.',
      format: duration,
      default: 30_000,
    }),
  },
};
