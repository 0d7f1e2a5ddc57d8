/** A refusal in plain words, for whoever runs the client. */
export interface Advice {
  readonly why: string;
  /** What to change in the client, or whom to ask. */
  readonly change: string;
}

const NOTHING = 'Nothing in the client, as long as it tries again later; most do so by themselves.';
const OPERATOR = 'Ask whoever runs the relay: its log says at this time, for this session, what went wrong.';
const TEXT = 'The reply says what to change in the message.';
const SPEAKS = 'Mend the client, or update it: it does not speak SMTP as it should.';

/** By the rule of the refusal (`Refusal.rule`, and those that `Transcript` gives to what has none). */
const ADVICE: Readonly<Record<string, Advice>> = {
  // The connection.
  connections: {
    why: 'All connections of the relay are taken.',
    change: `${NOTHING} Share connections in the application.`,
  },
  connections_per_address: {
    why: 'This address has as many connections as one may have.',
    change: 'Use smaller pools, or share connections; or ask for a higher limits.connectionsPerAddress.',
  },
  address_share: {
    why: 'This address has many connections that have not logged in.',
    change: 'Log in right after connecting, and close what is not needed.',
  },
  sessions_per_key: {
    why: 'The key has as many sessions as it may have.',
    change: 'Use smaller connection pools, or a key for each application.',
  },
  login_timeout: {
    why: 'The client connected and did not log in in time.',
    change: 'Log in at once, and switch STARTTLS and authentication on in the client.',
  },
  data_timeout: {
    why: 'The message took too long to arrive.',
    change: 'Send less at a time, or on a better line; or ask for a higher limits.dataTimeout.',
  },
  data_rate: {
    why: 'The message arrived too slowly.',
    change: 'Send on a better line; or ask for a lower limits.dataRate.',
  },
  malformed_commands: { why: 'Too many lines were no commands.', change: SPEAKS },
  abandoned: {
    why: 'The client hung up before its message had a reply, so that nobody knows there whether it was accepted.',
    change: 'Let the client wait longer for the reply to a message: RFC 5321 asks for ten minutes.',
  },
  shutdown: { why: 'The relay was being stopped.', change: NOTHING },
  // TLS.
  tls_certificate_refused: {
    why: "The client does not trust the relay's certificate.",
    change:
      'Connect by the name that is in the certificate, and let the client know its authority (with make dev: the CA file).',
  },
  tls_old_version: {
    why: 'The client offers only versions of TLS that are too old.',
    change: 'Update the client; for old devices there is tls.legacyPort.',
  },
  tls_no_shared_cipher: {
    why: 'The client has no cipher that the relay takes.',
    change: 'Update the client; for old devices there is tls.legacyPort.',
  },
  tls_not_tls: {
    why: 'Something other than TLS came where TLS was due.',
    change: 'Set the client to "STARTTLS" on port 2587, or to "SSL/TLS" on the port for that.',
  },
  tls_no_starttls: {
    why: 'The client began with TLS on a port that takes it only after STARTTLS.',
    change: 'Set the client to "STARTTLS" (Nodemailer: secure: false), or use the port of tls.implicitPort.',
  },
  tls_timeout: {
    why: 'The TLS handshake did not end in time.',
    change: 'See whether something between the client and the relay holds it up.',
  },
  tls_closed: {
    why: 'The client ended the connection in the TLS handshake: most often it does not trust the certificate.',
    change: 'Connect by the name that is in the certificate, and let the client know its authority.',
  },
  tls_other: { why: 'The TLS handshake failed.', change: 'The remark in the transcript says how; update the client.' },
  // Logging in.
  auth: {
    why: 'The password is no valid API key: it is unknown, revoked, blocked, or not whole.',
    change:
      'Give an API key as the password, without anything around it; the user name does not matter. smtp-relay keys list has those that are valid.',
  },
  auth_fault: { why: 'The key could not be looked up just now.', change: NOTHING },
  auth_in_clear: {
    why: 'The client would have sent its password in clear.',
    change: 'Switch STARTTLS on in the client (often called "TLS").',
  },
  auth_order: { why: 'The client logged in twice, or in the middle of a message.', change: SPEAKS },
  sasl: {
    why: 'The client logs in by a way that the relay does not have, or not in its form.',
    change: 'Set the client to "PLAIN", "LOGIN" or "normal password", and give it the key itself, not its Base64.',
  },
  failed_logins: {
    why: 'Too many log-ins failed before.',
    change: 'Find the program that uses a wrong key, and give it the right one.',
  },
  login_required: {
    why: 'The client sent a message without logging in.',
    change: 'Set user name and password in the client, and STARTTLS: without it no log-in is offered.',
  },
  key_revoked: { why: 'The key was revoked or blocked while the connection was open.', change: 'Use another key.' },
  key_changed: { why: 'The key was changed while the message was on its way.', change: NOTHING },
  sandbox: { why: 'The key is in sandbox, which there is not beside OpenSend.', change: 'Use another key.' },
  chaos: {
    why: 'The key is in sandbox, and set to have things go wrong.',
    change: 'Nothing, where the client does what it should. smtp-relay keys chaos shows what is set, and ends it.',
  },
  // Commands.
  syntax: {
    why: 'A command could not be read: it is unknown, too long, or its address is not one.',
    change: 'Mend the address or the command that the transcript shows.',
  },
  order: {
    why: 'A command came out of its order.',
    change: 'Look what was refused before it: most often that is the reason.',
  },
  parameter: {
    why: 'A parameter was used that the relay does not offer.',
    change: 'Switch the option off in the client (often DSN).',
  },
  bare_line_ending: {
    why: 'Lines end with a bare LF or CR.',
    change: 'Let the client write CR LF; for old devices there is bareLineEndings.',
  },
  recipient_limit: {
    why: 'There are more recipients than one message may have.',
    change: 'Send to the others in another message.',
  },
  postmaster: { why: 'postmaster alone has no domain here.', change: 'Write postmaster@ and a domain.' },
  suppressed: {
    why: 'A recipient is on the suppression list: it bounced or complained before, or was put there.',
    change: 'Leave it out; where that was a mistake: smtp-relay suppressions remove.',
  },
  recipient_allow_list: {
    why: 'This installation sends only to those on a list.',
    change: 'Send to one of them, or ask for recipientAllowList.',
  },
  // What may be sent.
  key_domain: {
    why: 'The key may not send from this domain.',
    change: "Send from the key's domain, or use another key.",
  },
  domain_not_owned: {
    why: "The domain of From is none of the owner's.",
    change: 'smtp-relay domains add, or send from another.',
  },
  return_path: {
    why: "Bounces would go to a domain that is not the owner's.",
    change: "Give an address at one of the owner's domains as MAIL FROM.",
  },
  message_size: { why: 'The message is larger than it may be.', change: 'Send less, or a link.' },
  transport_size: { why: 'The message is larger than what delivers it takes.', change: 'Send less, or a link.' },
  bytes_in_flight: { why: 'Too many large messages are on their way at this moment.', change: NOTHING },
  originals_away: { why: 'Large messages have no room just now: where they are kept is away.', change: NOTHING },
  messages_per_minute: {
    why: 'The key has sent as many messages as it may in a minute.',
    change: 'Send more evenly, or ask for a higher limit.',
  },
  recipients_per_minute: {
    why: 'The key has sent to as many recipients as it may in a minute.',
    change: 'Send more evenly, or ask for a higher limit.',
  },
  messages_per_day: {
    why: 'The key has sent as many messages as it may in a day.',
    change: 'Wait for tomorrow (UTC), or ask for a higher limit.',
  },
  recipients_per_day: {
    why: 'The key has sent to as many recipients as it may in a day.',
    change: 'Wait for tomorrow (UTC), or ask for a higher limit.',
  },
  idempotency_conflict: {
    why: 'The idempotency key was used for another message.',
    change: 'Use a new one for each message.',
  },
  parse_timeout: {
    why: 'Reading the message took too long.',
    change: 'Send it again; simplify it where that stays so.',
  },
  fault: { why: 'Something went wrong on the side of the relay.', change: `${NOTHING} ${OPERATOR}` },
};

/** Of the message itself there are many, whose texts say all that there is to say. */
const OF_MESSAGE: Advice = { why: 'The message is not one that can be sent as it is.', change: TEXT };

/** Why something was refused, and what to do about it. @param rule of the refusal */
export function adviceOn(rule: string): Advice {
  return ADVICE[rule] ?? OF_MESSAGE;
}
