/** Why a TLS handshake came to nothing: as labels of a metric, so from this list only. */
export const HANDSHAKE_FAILURES = [
  'old_version',
  'no_shared_cipher',
  'certificate_refused',
  'not_tls',
  'no_starttls',
  'timeout',
  'closed',
  'other',
] as const;

export type HandshakeFailure = (typeof HANDSHAKE_FAILURES)[number];

/** What OpenSSL and Node say, in the order in which it is looked for. */
const PATTERNS: readonly (readonly [RegExp, HandshakeFailure])[] = [
  [/unsupported.protocol|version.too.low|protocol.version|inappropriate.fallback/i, 'old_version'],
  [/no.shared.cipher|no.ciphers|handshake.failure|no.suitable/i, 'no_shared_cipher'],
  [
    /alert.(?:unknown.ca|bad.certificate|certificate|unsupported.certificate|access.denied)|unknown.ca/i,
    'certificate_refused',
  ],
  [
    /http.request|wrong.version.number|packet.length|not.tls|bad.record|unknown.protocol|unexpected.message/i,
    'not_tls',
  ],
  [/no TLS handshake in time|handshake timeout/i, 'timeout'],
  [/socket (?:hang up|closed)|ECONNRESET|EPIPE|disconnected before secure/i, 'closed'],
];

/** Says that TLS came where SMTP was due; see `handshakeFailure`. */
export class UnaskedTls extends Error {}

/** @param error what ended the handshake; null where the connection just ended */
export function handshakeFailure(error: Error | null): HandshakeFailure {
  if (error === null) return 'closed';
  if (error instanceof UnaskedTls) return 'no_starttls';
  return (
    PATTERNS.find(([pattern]) => pattern.test(`${textOf(error, 'code')} ${handshakeDetail(error)}`))?.[1] ?? 'other'
  );
}

/** What there is to say beyond the reason: OpenSSL's words, where they are its, since smtp-server puts others in front. */
export function handshakeDetail(error: Error): string {
  return textOf(error, 'reason') || error.message;
}

function textOf(error: Error, name: string): string {
  const value: unknown = Reflect.get(error, name);
  return typeof value === 'string' ? value : '';
}
