import Type, { type Static } from 'typebox';
import { domainName, flag, group, hostLabel, oneOf, owner, text } from './fields.ts';

const tracking = group(
  {
    opens: Type.Optional(flag('Whether opens are tracked; false where it is left out.')),
    clicks: Type.Optional(flag('Whether clicks are tracked; false where it is left out.')),
  },
  'What is tracked, unless a message asks otherwise.',
);

/** A domain that an owner sends from. */
export const sendingDomain = group(
  {
    owner,
    name: domainName('The domain, in any spelling.'),
    region: Type.Optional(
      text('the name of an AWS region, such as us-east-1', {
        pattern: '^[a-z]{2,4}(-[a-z]+){1,3}-[0-9]{1,2}$',
        description: 'The SES region to send through; us-east-1 where it is left out.',
      }),
    ),
    configurationSet: Type.Optional(
      text('the name of a configuration set: letters, digits, _ and -', {
        pattern: '^[A-Za-z0-9_-]{1,64}$',
        description: 'The SES configuration set to send with.',
      }),
    ),
    tracking: Type.Optional(tracking),
    trackingSubdomain: Type.Optional(
      hostLabel('Where tracked links lead: a label below the domain, such as links, or a whole host name.'),
    ),
    tls: Type.Optional(oneOf(['enforced', 'opportunistic'], 'Whether SES may deliver without TLS.')),
    route: Type.Optional(
      text('the name of a Route', {
        pattern: '^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$',
        description: 'The Route that takes messages from this domain.',
      }),
    ),
  },
  'A domain that an owner sends from.',
);

export type SendingDomainSpec = Static<typeof sendingDomain>;
