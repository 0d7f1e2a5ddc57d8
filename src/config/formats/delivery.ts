import { isIP } from 'node:net';
import { FormatError, hostName, text } from './format.ts';

/** What a transport needs to know, in the settings of the default route and in those of others. */

export const configurationSet = text(
  'the name of a configuration set: letters, digits, _ and -',
  /^[A-Za-z0-9_-]{1,64}$/,
);

export const roleArn = text('the ARN of an IAM role', /^arn:[a-z0-9-]+:iam::\d{12}:role\/[\w+=,.@/-]+$/);

/** A server that is called. */
export const serverHost = text('a host name or an IP address, such as smtp.example.com', value => {
  if (isIP(value) === 0) hostName.parse(value);
  else if (value.includes('%')) throw new FormatError('is an address with a zone');
});

export const userName = text('a user name', /^[^\0\r\n]{1,256}$/);

export const password = text('a password', /^[^\0\r\n]{1,1024}$/);
