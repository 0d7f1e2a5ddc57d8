import type { SMTPServerSession } from 'smtp-server';
import type { SMTPConnection } from 'smtp-server/lib/smtp-connection.js';
import type { Envelope } from '../../intake/submission.ts';

type LibraryEnvelope = SMTPServerSession['envelope'];

/** What MAIL and RCPT said, as the library keeps it, in our words. */
export function envelopeOf({ mailFrom, rcptTo, bodyType = '7bit', smtpUtf8 = false }: LibraryEnvelope): Envelope {
  return {
    reversePath: mailFrom ? mailFrom.address : '',
    recipients: rcptTo.map(({ address }) => address),
    bodyType,
    smtpUtf8,
  };
}

/** SIZE of MAIL (RFC 1870) in bytes; 0 without. */
export function declaredSize({ mailFrom }: LibraryEnvelope): number {
  const parameters = mailFrom ? mailFrom.args : false;
  return parameters ? Number(parameters['SIZE'] ?? 0) : 0;
}

/** The name of the protocol (RFC 3848; RFC 6531 section 4.3 for SMTPUTF8). */
export function protocolOf(
  { session, openingCommand, secure }: Pick<SMTPConnection, 'session' | 'openingCommand' | 'secure'>,
  isLoggedIn: boolean,
): string {
  const base = session.envelope.smtpUtf8 ? 'UTF8SMTP' : openingCommand === 'HELO' ? 'SMTP' : 'ESMTP';
  return base + (secure ? 'S' : '') + (isLoggedIn ? 'A' : '');
}
