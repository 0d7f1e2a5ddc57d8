import Type, { type Static, type TSchema } from 'typebox';

/*
 * What the HTTP API of the inbox takes and gives. The checks of requests, the OpenAPI document and the types of the page follow from it.
 */

export const Time = Type.String({ format: 'date-time' });
export const orNull = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
/** A slip of the pen in a condition must not be answered, or delete, as if it were not there. */
export const ONLY_THESE = { additionalProperties: false };
const Addresses = Type.Array(Type.String());

export const Tag = Type.Object({ name: Type.String(), value: Type.String() });

export const Summary = Type.Object({
  id: Type.String({ format: 'uuid', description: 'The id that the reply 250 named' }),
  createdAt: Time,
  status: Type.String({
    description: '`queued`, `processing`, `sent`, `delivered`, `bounced`, `complained`, `failed` …',
  }),
  owner: orNull(Type.String()),
  from: Type.String(),
  to: Addresses,
  cc: Addresses,
  bcc: Type.Array(Type.String(), { description: 'Recipients of the envelope that stand in neither To nor Cc' }),
  subject: Type.String(),
  preview: Type.String({ description: 'The beginning of its text' }),
  tags: Type.Array(Tag),
  attachments: Type.Integer({ description: 'How many there are' }),
  size: orNull(Type.Integer({ description: 'Bytes as received' })),
  sandbox: Type.Boolean({ description: 'Whether its key was in sandbox' }),
  events: Type.Record(Type.String(), Type.Integer(), { description: 'How many events there are of each type' }),
});
export type Summary = Static<typeof Summary>;

export const Page = Type.Object({
  messages: Type.Array(Summary, { description: 'Newest first' }),
  next: orNull(
    Type.String({
      description:
        'Give it as `after` for what is older; null at the end. A page may have fewer messages than asked for.',
    }),
  ),
  total: Type.Optional(Type.Integer({ description: 'Messages in all, 100000 at most; only without a search' })),
});
export type Page = Static<typeof Page>;

export const Field = Type.Object({ name: Type.String(), value: Type.String() });

export const PartInfo = Type.Object({
  path: Type.String({ description: 'As IMAP numbers parts: `1.2`; empty for a message that consists of parts' }),
  depth: Type.Integer(),
  contentType: Type.String(),
  charset: orNull(Type.String()),
  encoding: Type.String({ description: 'Content-Transfer-Encoding; empty where none is said' }),
  disposition: orNull(Type.String({ description: '`inline` or `attachment`' })),
  filename: orNull(Type.String()),
  contentId: orNull(Type.String({ description: 'Without angle brackets' })),
  size: Type.Integer({ description: 'Bytes as they are written' }),
  role: Type.String({ description: '`multipart`, `body`, `inline` (a picture within the HTML) or `attachment`' }),
});
export type PartInfo = Static<typeof PartInfo>;

export const Recipient = Type.Object({
  address: Type.String(),
  field: Type.String({ description: '`to`, `cc`, or `bcc` where no header field names it' }),
  /** What became of it. */
  outcome: orNull(Type.String({ description: 'The gravest of its events, or of its tries: `sent`, `bounced` …' })),
});
export type Recipient = Static<typeof Recipient>;

export const Transcript = Type.Object({
  beganAt: Time,
  lines: Type.Array(
    Type.Object({
      at: Type.Integer({ description: 'Milliseconds from the beginning' }),
      by: Type.String({ description: '`C` the client, `S` the relay, `-` a remark' }),
      text: Type.String(),
    }),
    { description: 'Without credentials, and nothing of a message but its size' },
  ),
});
export type Transcript = Static<typeof Transcript>;

export const Moment = Type.Object({
  at: Time,
  stage: Type.String({
    description:
      '`connect`, `tls`, `login`, `receive`, `checks`, `commit`, `publish`, `claim`, `send`, `event`, `webhook` or `end`',
  }),
  title: Type.String(),
  detail: Type.String(),
  tone: Type.String({ description: '`plain`, `good`, `bad` or `wait`' }),
});
export type Moment = Static<typeof Moment>;

export const Details = Type.Object({
  message: Summary,
  messageId: orNull(Type.String({ description: 'Without angle brackets' })),
  replyTo: Addresses,
  hasText: Type.Boolean(),
  hasHtml: Type.Boolean(),
  text: orNull(Type.String()),
  html: orNull(Type.String({ description: 'As received, and not made safe' })),
  asksOthers: Type.Boolean({ description: 'Whether its HTML asks for pictures or styles from elsewhere' }),
  headers: Type.Array(Field, { description: 'As received, decoded, in their order' }),
  parts: Type.Array(PartInfo, { description: 'The MIME tree, each part behind the one that holds it' }),
  links: Type.Array(Type.String(), { description: 'Where its HTML leads, or its text where it has none' }),
  envelope: Type.Object({
    from: Type.String({ description: 'MAIL FROM; empty is the null reverse-path' }),
    recipients: Type.Array(Recipient),
  }),
  session: orNull(
    Type.Object({
      id: orNull(Type.String()),
      client: orNull(Type.String()),
      helo: orNull(Type.String()),
      protocol: orNull(Type.String()),
    }),
  ),
  keyId: orNull(Type.String({ description: 'The id of the API key that sent it, where its session is kept' })),
  transcript: Type.Union([Transcript, Type.Null()], {
    description:
      'What was said in its session, up to its 250; null where that is not kept (`sessions.kept`), or not yet',
  }),
  timeline: Type.Array(Moment, { description: 'What happened to it, in its order' }),
  pending: Type.Array(Type.String(), { description: 'What is still to come' }),
  canRelease: Type.Boolean({ description: 'Whether a smarthost is configured that it can be released to' }),
});
export type Details = Static<typeof Details>;

export const Changed = Type.Object({
  sections: Type.Array(
    Type.Object({
      title: Type.String({ description: '`Header`, `HTML` or `Text`' }),
      before: Type.String({ description: 'As received, decoded' }),
      after: Type.String({ description: 'As sent' }),
    }),
    { description: 'Those that differ' },
  ),
});
export type Changed = Static<typeof Changed>;

export const SIMULATIONS = ['delivered', 'bounced', 'complained', 'delayed', 'opened', 'clicked'] as const;

export const Simulate = Type.Object(
  {
    type: Type.Enum([...SIMULATIONS]),
    recipient: Type.Optional(Type.String({ description: 'One of the envelope; all of them unless given' })),
    link: Type.Optional(Type.String({ description: 'For `clicked`; the first one of the message unless given' })),
  },
  { additionalProperties: false },
);
export type Simulate = Static<typeof Simulate>;

export const Simulated = Type.Object({
  recipients: Type.Array(Type.String(), { description: 'Whom it is about' }),
});
export type Simulated = Static<typeof Simulated>;

export const Release = Type.Object(
  {
    to: Type.Optional(
      Type.Array(Type.String({ maxLength: 320 }), {
        minItems: 1,
        maxItems: 50,
        description: 'Its recipients unless given',
      }),
    ),
  },
  { additionalProperties: false },
);
export type Release = Static<typeof Release>;

export const Released = Type.Object({
  recipients: Addresses,
  response: Type.String({ description: 'What the smarthost said' }),
});
export type Released = Static<typeof Released>;

export const ErrorBody = Type.Object({ error: Type.String() });

export const IdParams = Type.Object({ id: Type.String({ format: 'uuid' }) });
export type IdParams = Static<typeof IdParams>;

export const DetailsQuery = Type.Object(
  { bodies: Type.Boolean({ default: true, description: 'Whether `text` and `html` are wanted' }) },
  ONLY_THESE,
);
export type DetailsQuery = Static<typeof DetailsQuery>;

const search = {
  query: Type.Optional(
    Type.String({
      description:
        'As in the search box: words, `from:`, `to:`, `cc:`, `bcc:`, `subject:`, `tag:name=value`, `status:`, `has:attachment`; `-` before one has it not be so',
      maxLength: 1_000,
    }),
  ),
  from: Type.Optional(Type.String({ description: 'A part of From', minLength: 1 })),
  to: Type.Optional(Type.String({ description: 'A part of a recipient, whether in To, Cc or Bcc', minLength: 1 })),
  subject: Type.Optional(Type.String({ description: 'A part of the subject', minLength: 1 })),
  tag: Type.Optional(Type.String({ description: '`name` or `name=value`', minLength: 1 })),
  since: Type.Optional(
    Type.String({ format: 'date-time', description: 'Only what was accepted at this time or later' }),
  ),
};

export const SearchQuery = Type.Object(search, ONLY_THESE);
export type SearchQuery = Static<typeof SearchQuery>;

export const ListQuery = Type.Object(
  {
    ...search,
    after: Type.Optional(Type.String({ description: '`next` of the page before' })),
    limit: Type.Integer({ minimum: 1, maximum: 500, default: 50 }),
    wait: Type.Optional(
      Type.String({
        pattern: '^([1-9]|[1-5]\\d|60)s$',
        description: 'How long to wait for a first message, `1s` to `60s`. An empty list afterwards: none came.',
      }),
    ),
  },
  ONLY_THESE,
);
export type ListQuery = Static<typeof ListQuery>;
