import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

/** What a mail client is told. */
export interface ClientSettings {
  readonly host: string;
  readonly port: number;
  readonly apiKey: string;
  /** The one that the demo key sends from. */
  readonly domain: string;
  /** PEM file of the authority to trust; absolute. Undefined where the relay has a certificate of the user's own. */
  readonly caFile: string | undefined;
}

/** The settings and three commands that send a message as they are pasted into a shell, from whatever folder. */
export function renderSettings(settings: ClientSettings): string {
  const { host, port, apiKey, caFile, domain } = settings;
  const rows = [
    ['Host', host],
    ['Port', `${port} (STARTTLS)`],
    ['User', 'apikey'],
    ['Password', apiKey],
    ['CA file', caFile ?? 'that of your own certificate'],
    ['From', `hello@${domain}`],
  ];
  const table = rows.map(([name, value]) => `  ${`${name}`.padEnd(9)} ${value}`).join('\n');
  const commands = [hasSwaks() ? swaks(settings) : curl(settings), nodemailer(settings), python(settings)];
  return `\nReady. Mail settings:\n\n${table}\n\nOr paste one of these:\n\n${commands.join('\n\n')}\n`;
}

/** Whether there is a swaks that speaks TLS, for which it needs another package. */
function hasSwaks(): boolean {
  return /TLS supported/.test(spawnSync('swaks', ['--support'], { encoding: 'utf8' }).stdout ?? '');
}

function swaks({ host, port, apiKey, caFile, domain }: ClientSettings): string {
  const trust = caFile ? `--tls-verify --tls-ca-path ${quote(caFile)}` : '';
  const login = `--auth LOGIN --auth-user apikey --auth-password ${quote(apiKey)}`;
  const message = `--from hello@${domain} --to you@example.com --header 'Subject: Hello from swaks' --body 'Sent by swaks'`;
  return join('swaks --server', host, '--port', String(port), '--tls', trust, login, message);
}

function curl({ host, port, apiKey, caFile, domain }: ClientSettings): string {
  const message = `From: hello@${domain}\\r\\nTo: you@example.com\\r\\nSubject: Hello from curl\\r\\n\\r\\nSent by curl\\r\\n`;
  const trust = caFile ? `--cacert ${quote(caFile)}` : '';
  const login = `--user ${quote(`apikey:${apiKey}`)}`;
  const envelope = `--mail-from hello@${domain} --mail-rcpt you@example.com --upload-file -`;
  return join(
    `printf '${message}' | curl --silent --show-error --ssl-reqd`,
    trust,
    login,
    envelope,
    `smtp://${host}:${port}`,
  );
}

function nodemailer({ host, port, apiKey, caFile, domain }: ClientSettings): string {
  const path = createRequire(import.meta.url).resolve('nodemailer');
  const tls = caFile ? `, tls: { ca: require('node:fs').readFileSync(${literal(caFile)}) }` : '';
  const options = `{ host: '${host}', port: ${port}, requireTLS: true, auth: { user: 'apikey', pass: ${literal(apiKey)} }${tls} }`;
  // With a link, to be tracked where that is switched on.
  const message = `{ from: 'hello@${domain}', to: 'you@example.com', subject: 'Hello from Nodemailer', text: 'Sent by Nodemailer', html: '<p>Sent by <a href="https://nodemailer.com/">Nodemailer</a></p>' }`;
  const program = `require(${literal(path)}).createTransport(${options}).sendMail(${message}).then(sent => console.log(sent.response))`;
  return `node -e ${doubleQuote(program)}`;
}

function python({ host, port, apiKey, caFile, domain }: ClientSettings): string {
  const context = `ssl.create_default_context(cafile=${caFile ? literal(caFile) : 'None'})`;
  const headers = `From: hello@${domain}\\r\\nTo: you@example.com\\r\\nSubject: Hello from Python\\r\\n\\r\\nSent by smtplib\\r\\n`;
  const steps = [
    'import smtplib, ssl',
    `s = smtplib.SMTP('${host}', ${port})`,
    `s.starttls(context=${context})`,
    `s.login('apikey', ${literal(apiKey)})`,
    `s.sendmail('hello@${domain}', 'you@example.com', '${headers}')`,
    'print(s.quit())',
  ];
  return `python3 -c ${doubleQuote(steps.join('; '))}`;
}

function join(...words: string[]): string {
  return words.filter(Boolean).join(' ');
}

/** A word for the shell, quoted only where it must be. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** A program for the shell between double quotes, since it has single ones inside. */
function doubleQuote(program: string): string {
  return `"${program.replace(/[\\"$`]/g, '\\$&')}"`;
}

/** A string that is the same in JavaScript and Python. */
function literal(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
