import { EVENTS } from '../store/event-types.ts';

/**
 * Reads the URL of an endpoint that is to be kept.
 *
 * The address is checked at each connection, since a name may lead elsewhere tomorrow.
 *
 * @returns it in its normal form
 * @throws RangeError that says what is wrong with it
 */
export function parseEndpointUrl(text: string): string {
  const url = URL.parse(text.trim());
  if (!url) throw new RangeError(`"${text}" is not a URL`);
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw new RangeError('the URL has to be one of https or http');
  if (url.username !== '' || url.password !== '') {
    throw new RangeError('the URL has a user or password in it; the signature is what tells that we are the sender');
  }
  if (hasBadPort(url)) {
    throw new RangeError(
      `port ${url.port} is one of another protocol (Fetch Standard, "bad port"); let the endpoint have another`,
    );
  }
  // It never leaves the sender (RFC 9110 section 7.1).
  url.hash = '';
  return url.href;
}

/** Ports of other protocols, to which browsers make no requests (Fetch Standard, "bad port"). */
const BAD_PORTS: ReadonlySet<number> = new Set([
  0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110,
  111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532,
  540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061,
  6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
]);

/**
 * Whether a URL names a port of another protocol, such as SMTP's. A server there could take our request for commands, and an
 * owner could have it talk to others in our name.
 *
 * @param url of http or https
 */
export function hasBadPort(url: URL): boolean {
  return url.port !== '' && BAD_PORTS.has(Number(url.port));
}

/** What an endpoint can ask for. */
export const WEBHOOK_EVENTS: readonly string[] = Object.values(EVENTS).map(({ name }) => name);

/** All of them, also those to come. */
export const ALL_EVENTS = '*';

/**
 * Reads a list of event types as a person writes it: separated by commas; `*` and `all` are all.
 *
 * @returns each once, or only `*`
 * @throws RangeError that names the first that is none
 */
export function parseEventTypes(text: string): string[] {
  const names = text.split(',').map(name => name.trim().toLowerCase());
  if (names.some(name => name === ALL_EVENTS || name === 'all')) return [ALL_EVENTS];
  const unknown = names.find(name => !WEBHOOK_EVENTS.includes(name));
  if (unknown !== undefined) {
    throw new RangeError(`"${unknown}" is no event; there are ${WEBHOOK_EVENTS.join(', ')}, and "all"`);
  }
  return [...new Set(names)];
}
