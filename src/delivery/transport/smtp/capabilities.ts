/** What a smarthost offers in its answer to EHLO, as far as it decides about messages. */
export interface SmtpCapabilities {
  /** RFC 6152. */
  readonly eightBitMime: boolean;
  /** RFC 6531. */
  readonly smtpUtf8: boolean;
  /** The largest message in bytes (RFC 1870); Infinity where it does not say. */
  readonly messageBytes: number;
}

/** Reads the reply to EHLO: the first line greets, each other one begins with a keyword. That to HELO has one line. */
export function readCapabilities(reply: string): SmtpCapabilities {
  const lines = reply.split(/\r?\n/).slice(1);
  const keywords = new Map(lines.map(line => readLine(line.slice('250-'.length))));
  const size = Number(keywords.get('SIZE') ?? 0);
  return {
    eightBitMime: keywords.has('8BITMIME'),
    smtpUtf8: keywords.has('SMTPUTF8'),
    messageBytes: size > 0 ? size : Number.POSITIVE_INFINITY,
  };
}

function readLine(line: string): [keyword: string, parameter: string] {
  const [keyword = '', parameter = ''] = line.trim().split(/\s+/);
  return [keyword.toUpperCase(), parameter];
}
