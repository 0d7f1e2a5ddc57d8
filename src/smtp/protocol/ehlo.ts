import { MECHANISMS } from './sasl.ts';

/** What EHLO depends on. */
export interface Announcement {
  readonly messageBytes: number;
  readonly recipients: number;
  readonly offersAuth: boolean;
  readonly offersStartTls: boolean;
}

const MAX_NAME = 255;

/** The extensions that EHLO announces (RFC 5321 section 4.1.1.1), one a line. */
export function extensions({ messageBytes, recipients, offersAuth, offersStartTls }: Announcement): string[] {
  return [
    'PIPELINING',
    '8BITMIME',
    'SMTPUTF8',
    'ENHANCEDSTATUSCODES',
    `SIZE ${messageBytes}`,
    // RFC 9422: a client that knows it splits a message before it is told 452.
    `LIMITS RCPTMAX=${recipients}`,
    ...(offersAuth ? [`AUTH ${MECHANISMS}`] : []),
    ...(offersStartTls ? ['STARTTLS'] : []),
  ];
}

/**
 * How the client calls itself by EHLO or HELO. Devices without a name of their own send none, or something else; it decides
 * nothing here. It is kept with messages, in whatever encoding the database has, so only ASCII is left of it.
 */
export function greetingName(line: string): string {
  const name = line.trim().split(/\s+/).slice(1).join(' ');
  return (
    name
      .replaceAll(/[^\x20-\x7e]/g, '?')
      .slice(0, MAX_NAME)
      .toLowerCase() || 'unknown'
  );
}
