import { password, serverHost, userName } from '../formats/access.ts';
import { oneOf, optional, path, port, wholeNumber } from '../formats/format.ts';
import { duration } from '../formats/time.ts';
import { deliverySetting } from '../setting.ts';
import { describeTransport, routeField } from './transport.ts';

const security = oneOf('starttls', 'tls', 'none');
const connections = wholeNumber(1, 1000);

/** Another SMTP server, the smarthost. */
export const smtp = describeTransport({
  what: 'another SMTP server',
  settings: {
    host: deliverySetting({
      doc: 'The smarthost of the transport `smtp`.',
      format: optional(serverHost),
      default: '',
    }),
    port: deliverySetting({
      doc: 'Its port.',
      format: port,
      default: 587,
    }),
    security: deliverySetting({
      doc: '`starttls`: TLS is asked for, and nothing is sent without it. `tls`: TLS from the first byte, usually on port 465. `none`: in clear text, for a server on the same machine.',
      format: security,
      default: 'starttls',
    }),
    user: deliverySetting({
      doc: 'The user to log in as. Empty: no log-in.',
      format: optional(userName),
      default: '',
    }),
    password: deliverySetting({
      doc: 'The password of that user.',
      format: optional(password),
      default: '',
      sensitive: true,
    }),
    connections: deliverySetting({
      doc: 'How many connections one worker keeps to the smarthost.',
      format: connections,
      default: 10,
    }),
    timeout: deliverySetting({
      doc: 'How long the smarthost may take to answer one command. After the end of DATA, eleven times as long: with the default, the ten minutes of RFC 5321 and one more.',
      format: duration,
      default: 60_000,
    }),
    caPath: deliverySetting({
      doc: "The PEM file of the authority that signed the smarthost's certificate. Empty: those that Node trusts.",
      format: optional(path),
      default: '',
    }),
  },
  route: {
    host: routeField(serverHost, { required: true, maxLength: 253, description: 'The smarthost.' }),
    port: routeField(port, { minimum: 1, description: 'Its port.' }),
    security: routeField(security, {
      description: 'TLS after STARTTLS, TLS from the first byte, or clear text.',
    }),
    user: routeField(userName, { maxLength: 256, description: 'The user to log in as. Left out: no log-in.' }),
    password: routeField(password, null),
    passwordFile: routeField(path, { isFile: true, description: 'The file that holds the password.' }),
    connections: routeField(connections, {
      description: 'How many connections one worker keeps to the smarthost.',
    }),
    timeout: routeField(duration, {
      expected: 'a whole number with its unit (ms, s, m or h), such as 30s',
      pattern: '^(0|[1-9][0-9]*)(ms|s|m|h)$',
      description: 'How long the smarthost may take to answer one command.',
    }),
    caPath: routeField(path, {
      maxLength: 1024,
      description: 'The PEM file of the authority that signed its certificate.',
    }),
  },
  declaredAs: 'For the transport `smtp`.',
  needs: { setting: 'host', what: 'smarthost' },
  // RFC 5321 section 4.5.3.1.6; size and SMTPUTF8 are for the smarthost to say.
  carries: {
    messageBytes: Number.POSITIVE_INFINITY,
    longLines: false,
    strictTypes: false,
    smtpUtf8: true,
    bouncesToSender: true,
    rules: null,
  },
  /** A password is for one server: one that is named by the route never gets that of another. */
  combine(general, own) {
    const base = own.host === undefined ? general : { ...general, user: '', password: '' };
    const settings = { ...base, passwordFile: '', ...own };
    return own.passwordFile === undefined ? settings : { ...settings, password: '' };
  },
});
