import { configurationSet, roleArn } from '../formats/access.ts';
import { awsRegion, httpUrl, oneOf, optional, wholeNumber } from '../formats/format.ts';
import { duration } from '../formats/time.ts';
import { deliverySetting } from '../setting.ts';
import { describeTransport, routeField } from './transport.ts';

const sendRate = wholeNumber(0, 1_000_000);

/** Amazon SES, by its API. */
export const ses = describeTransport({
  what: 'Amazon SES',
  settings: {
    endpoint: deliverySetting({
      doc: 'Where Amazon SES is, if not where the region says: for an emulator, a private endpoint or a proxy.',
      format: optional(httpUrl),
      default: '',
      env: 'AWS_ENDPOINT_URL_SESV2',
      generalEnv: 'AWS_ENDPOINT_URL',
    }),
    region: deliverySetting({
      doc: "The SES region of messages whose domain is not one of the owner's, and has no region of its own therefore. Empty: `awsRegion`.",
      format: optional(awsRegion),
      default: '',
    }),
    configurationSet: deliverySetting({
      doc: 'The SES configuration set of messages whose domain has none of its own. Events come back only by a configuration set with an event destination.',
      format: optional(configurationSet),
      default: '',
    }),
    roleArn: deliverySetting({
      doc: 'A role to assume for sending, in another account for instance. Empty: the credentials of the AWS SDK as they are.',
      format: optional(roleArn),
      default: '',
    }),
    clientSignatures: deliverySetting({
      doc: "Whether a DKIM signature that the client has put into a message goes out by SES. `remove`: it is left out; SES, which signs by itself, refuses a second one, and breaks the client's by writing Message-ID and Date anew. `keep`: it goes out, for identities that SES does not sign for.",
      format: oneOf('remove', 'keep'),
      default: 'remove',
    }),
    sendRate: deliverySetting({
      doc: 'Recipients a second over all workers. `0`: what SES says of the account (`GetAccount`). Workers share it as they need it. Throttling lowers it for a while.',
      format: sendRate,
      default: 0,
    }),
    timeout: deliverySetting({
      doc: 'How long one call may take. One that takes longer has an unknown outcome.',
      format: duration,
      default: 60_000,
    }),
  },
  route: {
    region: routeField(awsRegion, { maxLength: 63, description: 'The SES region.' }),
    roleArn: routeField(roleArn, { maxLength: 2048, description: 'A role to assume for sending.' }),
    configurationSet: routeField(configurationSet, {
      expected: 'the name of a configuration set',
      maxLength: 64,
      description: 'The SES configuration set.',
    }),
    endpoint: routeField(httpUrl, {
      expected: 'an http or https URL',
      pattern: '^https?://[^\\s]+$',
      maxLength: 2048,
      description: 'Where Amazon SES is, if not where the region says.',
    }),
    sendRate: routeField(sendRate, { description: 'Recipients a second; 0 is what SES says of the account.' }),
  },
  declaredAs: 'For the transport `ses`. What is left out is as configured.',
  aboveDomain: ['region', 'configurationSet'],
  // Amazon SES quotas: 40 MB a message after Base64; 1,000 characters a line; no SMTPUTF8.
  carries: {
    messageBytes: 40 * 1024 * 1024,
    longLines: false,
    strictTypes: true,
    smtpUtf8: false,
    bouncesToSender: false,
    rules: 'ses',
  },
});
