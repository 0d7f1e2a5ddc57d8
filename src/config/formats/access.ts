import { isIP } from 'node:net';
import { createSecureContext } from 'node:tls';
import { holdsEveryAddress } from '../../platform/networks.ts';
import {
  type Format,
  FormatError,
  HOST_PATTERN,
  hostName,
  list,
  listSchema,
  networks,
  oneOf,
  optional,
  text,
} from './format.ts';

/*
 * Who may come to the relay and by what, which servers it calls, and as whom it logs in there.
 */

/** A network whose clients send without a log-in, and as which key. */
export interface TrustedNetwork {
  /** CIDR. */
  readonly network: string;
  /** `api_keys.id`. */
  readonly keyId: string;
}

const ENTRY = /^([^=\s]+)=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i;

/** Networks with the key of each; a network that holds every address is refused, since nothing would be left to trust. */
export const trustedNetworks: Format<readonly TrustedNetwork[]> = {
  expected: 'network=key-id pairs separated by commas, such as 10.1.0.0/16=0b8e1c9e-6f0c-4f0e-9d7a-2f5a3c1d4e6f',
  schema: listSchema('^[0-9a-fA-F:.]+(/[0-9]{1,3})?=\\S+$'),
  list: true,
  parse(value) {
    if (value === '') return [];
    return value.split(',').map(entry => parseEntry(entry.trim()));
  },
  print: value => value.map(({ network, keyId }) => `${network}=${keyId}`).join(','),
};

function parseEntry(entry: string): TrustedNetwork {
  const [, network, keyId] = ENTRY.exec(entry) ?? [];
  if (network === undefined || keyId === undefined) {
    throw new FormatError("holds an entry that is not a network, = and an API key's id");
  }
  networks.parse(network);
  if (holdsEveryAddress(network)) {
    throw new FormatError('holds a network of all addresses: everybody could send without a log-in');
  }
  return { network, keyId: keyId.toLowerCase() };
}

const DOMAIN = '(?:[\\p{L}\\p{N}_-]+\\.)*[\\p{L}\\p{N}_-]+';

/** Addresses, domains, and `*.` with a domain. */
export const allowList = list(
  'addresses or domains, such as qa@acme.com, acme.com or *.acme.com',
  new RegExp(`^(?:[^@\\s]+@${DOMAIN}|(?:\\*\\.)?${DOMAIN})$`, 'u'),
  '^(\\S+@)?(\\*\\.)?[^\\s@/]+$',
);

/** A list in OpenSSL's words, tried as a listener would use it. */
export const ciphers = text('a list of ciphers in the words of OpenSSL, separated by colons', value => {
  try {
    if (value.includes(',') || /\s/.test(value)) throw new Error('separators other than colons');
    createSecureContext({ ciphers: value });
  } catch {
    throw new FormatError('has no cipher that OpenSSL knows, or is no list of them separated by colons');
  }
});

/** A host, a name or a password, of any length: tokens of IAM have more than a thousand characters. */
export const line = text('a text in one line', /^[^\0\r\n]*$/);

/** What libpq calls `sslmode`, without `allow`, which cannot be meant. */
export const sslMode: Format<string> = optional(
  oneOf('disable', 'no-verify', 'prefer', 'require', 'verify-ca', 'verify-full') as Format<string>,
);

/** A server that is called. */
export const serverHost = text(
  'a host name or an IP address, such as smtp.example.com',
  value => {
    if (isIP(value) === 0) hostName.parse(value);
    else if (value.includes('%')) throw new FormatError('is an address with a zone');
  },
  HOST_PATTERN,
);

export const userName = text('a user name', /^[^\0\r\n]{1,256}$/);

export const password = text('a password', /^[^\0\r\n]{1,1024}$/);

export const configurationSet = text(
  'the name of a configuration set: letters, digits, _ and -',
  /^[A-Za-z0-9_-]{1,64}$/,
  '^[A-Za-z0-9_-]*$',
);

export const roleArn = text(
  'the ARN of an IAM role',
  /^arn:[a-z0-9-]+:iam::\d{12}:role\/[\w+=,.@/-]+$/,
  '^(arn:[^\\s]+)?$',
);

/** Goes into a header field as it is, and is long enough that nobody guesses it. */
export const accessToken = text(
  'a token of at least 16 letters, digits and characters of - . _ ~ + / =',
  /^[A-Za-z0-9._~+/=-]{16,256}$/,
  '^[A-Za-z0-9._~+/=-]*$',
);
