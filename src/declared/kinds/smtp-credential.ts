import Type, { type Static } from 'typebox';
import { PERMISSIONS } from '../../store/keys/api-keys.ts';
import { count, domainName, exactlyOneOf, filePath, group, oneOf, owner, SECRETS_FOLDER, text } from './fields.ts';

const MOST = 1_000_000_000;
const limit = (what: string) =>
  Type.Optional(count(0, MOST, `The most ${what}; 0 is no limit. Left out: as configured.`));

const limits = group(
  {
    messagesPerMinute: limit('messages a minute'),
    recipientsPerMinute: limit('recipients a minute'),
    messagesPerDay: limit('messages a day (UTC)'),
    recipientsPerDay: limit('recipients a day (UTC)'),
    sessions: limit('sessions on one pod at one time'),
  },
  'What this credential may do, in place of the limits that are configured for all.',
);

/** An API key, which is the password of an SMTP client. */
export const smtpCredential = group(
  {
    owner,
    domain: Type.Optional(domainName('The only domain that From may have. Left out: any.')),
    permission: Type.Optional(oneOf(PERMISSIONS, 'What else the key may do; `sending_access` where it is left out.')),
    keyFile: Type.Optional(filePath(SECRETS_FOLDER, 'The file that holds the key. Another content is another key.')),
    keyHash: Type.Optional(
      text('the SHA-256 of the key in hexadecimal digits (printf %s "$KEY" | sha256sum)', {
        pattern: '^[0-9a-f]{64}$',
        description: 'The SHA-256 of the key in lower-case hexadecimal digits, where the key itself is not to be here.',
      }),
    ),
    limits: Type.Optional(limits),
  },
  'An API key: the password of SMTP clients.',
  exactlyOneOf('keyFile', 'keyHash'),
);

export type SmtpCredentialSpec = Static<typeof smtpCredential>;
