import Type, { type Static } from 'typebox';
import { CHAOS_CODES, CHAOS_STAGES, LATEST, SLOWEST } from '../store/keys/chaos-settings.ts';
import { ONLY_THESE, orNull, Time } from './contract.ts';

/*
 * What the HTTP API of the inbox takes and gives of API keys, as `contract.ts` has the rest.
 */

export const Key = Type.Object({
  id: Type.String(),
  name: Type.String(),
  owner: orNull(Type.String()),
  domain: orNull(Type.String({ description: 'The only domain that it may send from; null for any' })),
  sandbox: Type.Boolean(),
  blocked: Type.Boolean(),
});
export type Key = Static<typeof Key>;

const Percent = Type.Integer({ minimum: 1, maximum: 100 });

export const Chaos = Type.Object(
  {
    replies: Type.Optional(
      Type.Array(
        Type.Object(
          { stage: Type.Enum([...CHAOS_STAGES]), code: Type.Enum([...CHAOS_CODES]), percent: Percent },
          { ...ONLY_THESE, description: '`connect` is the greeting, `message` the reply after the dot' },
        ),
        { minItems: 1, maxItems: 20 },
      ),
    ),
    slowSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: SLOWEST, description: 'Of each reply' })),
    messagesPerMinute: Type.Optional(Type.Integer({ minimum: 1, maximum: 999_999_999 })),
    cutPercent: Type.Optional(Percent),
    late: Type.Optional(
      Type.Object({ percent: Percent, seconds: Type.Integer({ minimum: 1, maximum: LATEST }) }, ONLY_THESE),
    ),
  },
  { ...ONLY_THESE, minProperties: 1 },
);

export const SetChaos = Type.Object(
  {
    chaos: Chaos,
    seconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 31_536_000,
        description: 'After which it ends by itself; left out: it does not',
      }),
    ),
  },
  ONLY_THESE,
);
export type SetChaos = Static<typeof SetChaos>;

export const SandboxKey = Type.Object({
  id: Type.String(),
  name: Type.String(),
  owner: orNull(Type.String()),
  declaredBy: orNull(Type.String({ description: 'The document that declares it, and alone says what goes wrong' })),
  chaos: orNull(Chaos),
  says: Type.Array(Type.String(), { description: 'The same in words' }),
  until: orNull(Time),
});
export type SandboxKey = Static<typeof SandboxKey>;

export const Refused = Type.Object({
  step: Type.String({ description: '`AUTH`, `MAIL`, `RCPT` or `DATA`' }),
  recipient: orNull(Type.String({ description: 'Of RCPT' })),
  reply: Type.String({ description: 'As the client would see it' }),
  rule: Type.String(),
  why: Type.String({ description: 'The reason in plain words' }),
  change: Type.String({ description: 'What to change, or whom to ask' }),
});
export type Refused = Static<typeof Refused>;

export const KeyVerdict = Type.Object({
  key: Key,
  accepted: Type.Boolean({ description: 'Whether it would be accepted, though maybe not for all recipients' }),
  refusals: Type.Array(Refused),
});
export type KeyVerdict = Static<typeof KeyVerdict>;

export const Verdicts = Type.Object({
  verdicts: Type.Array(KeyVerdict),
  left: Type.Integer({ description: 'Keys that were not tried, since there are many: name one as `key`' }),
});
export type Verdicts = Static<typeof Verdicts>;
