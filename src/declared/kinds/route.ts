import Type, { type Static } from 'typebox';
import { count, filePath, group, list, oneOf, SECRETS_FOLDER, text, words } from './fields.ts';

const PATTERN = '^(\\*\\.)?[^\\s@\\[\\]/:*]+$';

const pattern = text('a domain, such as acme.com, or *. and a domain', {
  pattern: PATTERN,
  maxLength: 255,
  description: 'A domain, or `*.` and a domain for all domains below it.',
});

const url = (description: string) =>
  text('an http or https URL', { pattern: '^https?://[^\\s]+$', maxLength: 2048, description });

const ses = group(
  {
    region: Type.Optional(words('the name of an AWS region, such as us-east-1', 63, 'The SES region.')),
    roleArn: Type.Optional(words('the ARN of an IAM role', 2048, 'A role to assume for sending.')),
    configurationSet: Type.Optional(words('the name of a configuration set', 64, 'The SES configuration set.')),
    endpoint: Type.Optional(url('Where Amazon SES is, if not where the region says.')),
    sendRate: Type.Optional(count(0, 1_000_000, 'Recipients a second; 0 is what SES says of the account.')),
  },
  'For the transport `ses`. What is left out is as configured.',
);

const smtp = group(
  {
    host: words('a host name or an IP address, such as smtp.example.com', 253, 'The smarthost.'),
    port: Type.Optional(count(1, 65_535, 'Its port.')),
    security: Type.Optional(
      oneOf(['starttls', 'tls', 'none'], 'TLS after STARTTLS, TLS from the first byte, or clear text.'),
    ),
    user: Type.Optional(words('a user name', 256, 'The user to log in as. Left out: no log-in.')),
    passwordFile: Type.Optional(filePath(SECRETS_FOLDER, 'The file that holds the password.')),
    connections: Type.Optional(count(1, 1000, 'How many connections one worker keeps to the smarthost.')),
    timeout: Type.Optional(
      text('a whole number with its unit (ms, s, m or h), such as 30s', {
        pattern: '^(0|[1-9][0-9]*)(ms|s|m|h)$',
        description: 'How long the smarthost may take to answer one command.',
      }),
    ),
    caPath: Type.Optional(
      words('the path of a file', 1024, 'The PEM file of the authority that signed its certificate.'),
    ),
  },
  'For the transport `smtp`.',
);

const capture = group(
  { directory: Type.Optional(words('the path of a folder', 1024, 'The folder that messages are written to.')) },
  'For the transport `capture`.',
);

/** The messages of some sender domains, and the transport that takes them; as an entry of the setting `routes`. */
export const route = group(
  {
    domains: Type.Optional(
      list(
        pattern,
        { maxItems: 1000 },
        'Sender domains that take this route. SendingDomains that name it in `route` take it too.',
      ),
    ),
    transport: oneOf(['ses', 'smtp', 'capture'], 'What takes the messages.'),
    ses: Type.Optional(ses),
    smtp: Type.Optional(smtp),
    capture: Type.Optional(capture),
  },
  'Which transport takes the messages of some sender domains.',
);

export type RouteSpec = Static<typeof route>;
