import { Refusal } from '../message/refusal.ts';

/** What a step of the exchange asks for next: another line from the client, or the password is known. */
export type SaslStep =
  | { readonly challenge: string; readonly next: (line: string) => SaslStep }
  | { readonly password: string };

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
/** Prompts of AUTH LOGIN, as every client knows them: "Username:" and "Password:". */
const USERNAME = 'VXNlcm5hbWU6';
const PASSWORD = 'UGFzc3dvcmQ6';

/**
 * Begins the exchange of AUTH PLAIN (RFC 4616) or AUTH LOGIN (draft-murchison-sasl-login). The user name is read and
 * ignored: the password is the API key.
 *
 * @param initialResponse the Base64 behind the mechanism's name, or undefined; `=` stands for an empty one (RFC 4954)
 * @returns null for another mechanism
 * @throws Refusal 501 for an exchange that the client cancels (`*`) and for what is not Base64
 */
export function beginSasl(mechanism: string, initialResponse: string | undefined): SaslStep | null {
  switch (mechanism.toUpperCase()) {
    case 'PLAIN':
      return initialResponse === undefined ? { challenge: '', next: plain } : plain(initialResponse);
    case 'LOGIN':
      return initialResponse === undefined ? { challenge: USERNAME, next: loginUser } : loginUser(initialResponse);
    default:
      return null;
  }
}

/** `[authzid] NUL authcid NUL passwd`. */
function plain(line: string): SaslStep {
  const fields = decode(line).split('\0');
  const [, , password] = fields;
  if (fields.length !== 3 || password === undefined) {
    throw syntaxRefusal('AUTH PLAIN takes the Base64 of NUL, user name, NUL, password');
  }
  return { password };
}

function loginUser(line: string): SaslStep {
  decode(line);
  return { challenge: PASSWORD, next: loginPassword };
}

function loginPassword(line: string): SaslStep {
  return { password: decode(line) };
}

function decode(line: string): string {
  const text = line.trim();
  if (text === '*')
    throw new Refusal({ code: 501, enhancedCode: '5.7.0', text: 'Authentication cancelled', rule: 'sasl' });
  if (text === '=') return '';
  if (!BASE64.test(text)) throw syntaxRefusal('The response is not Base64');
  return Buffer.from(text, 'base64').toString('utf8');
}

function syntaxRefusal(text: string): Refusal {
  return new Refusal({ code: 501, enhancedCode: '5.5.2', text, rule: 'sasl' });
}
