import { BlockList } from 'node:net';
import { type Format, FormatError, list, networks } from './format.ts';

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

/** `0.0.0.0/0` and `::/0`, and whatever else comes to that: all IPv4 addresses written as IPv6 ones. */
function holdsEveryAddress(network: string): boolean {
  const [address = '', prefix] = network.split('/');
  if (Number(prefix) === 0) return true;
  if (!address.includes(':')) return false;
  const block = new BlockList();
  block.addSubnet(address, Number(prefix), 'ipv6');
  return block.check('::ffff:0.0.0.0', 'ipv6') && block.check('::ffff:255.255.255.255', 'ipv6');
}

const DOMAIN = '(?:[\\p{L}\\p{N}_-]+\\.)*[\\p{L}\\p{N}_-]+';

/** Addresses, domains, and `*.` with a domain. */
export const allowList = list(
  'addresses or domains, such as qa@acme.com, acme.com or *.acme.com',
  new RegExp(`^(?:[^@\\s]+@${DOMAIN}|(?:\\*\\.)?${DOMAIN})$`, 'u'),
);
