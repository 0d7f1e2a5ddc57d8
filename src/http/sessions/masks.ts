import { isIP } from 'node:net';
import { withoutHost } from '../../platform/networks.ts';

/** What stands for what is hidden. */
const HIDDEN = '***';

/** Path and parameters of a command. The path ends late rather than early, whatever a client has written there. */
const COMMAND = /^(MAIL +FROM|RCPT +TO):\s*(<.*>|\S*(?:\s(?![A-Z]+=)\S*)*)(.*)$/i;
/** Parameters whose values are from a list or numbers (RFC 1870, 3461, 6152, 6531); others may hold an address. */
const PLAIN_PARAMETER = /^(?:SIZE|BODY|SMTPUTF8|RET|NOTIFY)(?:=|$)/i;
/** What stands before an @, quoted or not (RFC 5321, section 4.1.2), and generously: rather too much of it than too little. */
const LOCAL_PART = /(?:"(?:[^"\\]|\\.)*"|[^\s<>@,;:"()[\]]+)(?=@)/g;
/** What may be an IP address, in a literal of SMTP (RFC 5321, section 4.1.3) also behind `IPv6:`. */
const NUMBERS = /(?<=^|[^0-9A-Z]|IPv6:)[0-9A-F]*[.:][0-9A-F.:]*[0-9A-F:]/gi;

/** A line of a transcript, or a reply, without local parts of mail addresses, and with networks in place of public addresses. */
export function masked(text: string): string {
  const [, command, path, parameters] = COMMAND.exec(text) ?? [];
  if (command === undefined || path === undefined) return withoutPeople(text);
  return `${command}:${maskedPath(path)}${(parameters ?? '').replaceAll(/\S+/g, maskedParameter)}`;
}

/** The domain stays, which rules are about; what has none is hidden, as nobody knows what it is. */
function maskedPath(path: string): string {
  if (path === '<>' || path === '') return path;
  const at = path.lastIndexOf('@');
  const domain = at < 0 ? '' : withoutHosts(path.slice(at).replace(/[\s>].*$/, ''));
  return path.startsWith('<') ? `<${HIDDEN}${domain}${path.endsWith('>') ? '>' : ''}` : `${HIDDEN}${domain}`;
}

function maskedParameter(parameter: string): string {
  if (PLAIN_PARAMETER.test(parameter)) return parameter;
  const [name = ''] = /^[A-Z0-9-]+=/i.exec(parameter) ?? [];
  return name + HIDDEN;
}

function withoutPeople(text: string): string {
  return withoutHosts(text.replaceAll(LOCAL_PART, HIDDEN));
}

function withoutHosts(text: string): string {
  return text.replaceAll(NUMBERS, found => (isIP(found) === 0 ? found : withoutHost(found)));
}
