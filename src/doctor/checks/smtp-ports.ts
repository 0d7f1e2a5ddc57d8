import { X509Certificate } from 'node:crypto';
import { TLSSocket } from 'node:tls';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import { hasTls } from '../../config/derived.ts';
import { readTlsPair } from '../../smtp/tls/certificate.ts';
import { advice, type DoctorParts, type Finding, failed, ok, skipped } from '../finding.ts';

/** Milliseconds for each answer. */
const TIMEOUT = 5_000;

interface Port {
  readonly port: number;
  readonly setting: string;
  readonly tls: 'starttls' | 'implicit' | 'if offered';
}

/** Whether the relay's ports answer, and by which certificate. */
export async function checkSmtpPorts({ config, role, host }: DoctorParts, signal: AbortSignal): Promise<Finding[]> {
  if (role === 'worker') return [skipped('port of the relay', 'the relay has it')];
  const { port, tls } = config;
  const ports: Port[] = [{ port, setting: 'SMTP_RELAY_PORT', tls: hasTls(config) ? 'starttls' : 'if offered' }];
  if (tls.implicitPort !== 0) {
    ports.push({ port: tls.implicitPort, setting: 'SMTP_RELAY_TLS_IMPLICIT_PORT', tls: 'implicit' });
  }
  const own = hasTls(config) ? new X509Certificate((await readTlsPair(tls)).cert).fingerprint256 : null;
  return Promise.all(ports.map(each => checkPort(host, each, own, signal)));
}

async function checkPort(host: string, { port, setting, tls }: Port, own: string | null, signal: AbortSignal) {
  const what = `port ${port}`;
  const connection = new SMTPConnection({
    host,
    port,
    name: 'doctor.invalid',
    secure: tls === 'implicit',
    requireTLS: tls === 'starttls',
    // Whether it is the right one is looked at here: a certificate of one's own authority is not wrong.
    tls: { rejectUnauthorized: false },
    connectionTimeout: TIMEOUT,
    greetingTimeout: TIMEOUT,
    socketTimeout: TIMEOUT,
  });
  const hangUp = () => connection.close();
  signal.addEventListener('abort', hangUp, { once: true });
  try {
    await open(connection);
    return describeOpen(what, connection, own);
  } catch (error) {
    return describeFailure(what, `${host}:${port}`, setting, error as NodeJS.ErrnoException);
  } finally {
    signal.removeEventListener('abort', hangUp);
    connection.quit();
    connection.close();
  }
}

function open(connection: SMTPConnection): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  connection.on('error', reject);
  connection.once('end', () => reject(new Error('the connection was closed')));
  connection.connect(error => (error ? reject(error) : resolve()));
  return promise;
}

function describeOpen(what: string, connection: SMTPConnection, own: string | null): Finding {
  const socket = connection._socket;
  if (!(socket instanceof TLSSocket)) return ok(what, 'answers, without TLS');
  const how = socket.getProtocol() ?? 'TLS';
  if (own === null || socket.getPeerX509Certificate()?.fingerprint256 === own) return ok(what, `answers, with ${how}`);
  const detail = `answers with ${how}, but with another certificate than that of SMTP_RELAY_TLS_CERT_PATH here`;
  return advice(what, detail, 'see whether that is the relay, and what ends TLS before it');
}

const START = 'start it: smtp-relay relay; where it runs elsewhere, name that with --host';

function describeFailure(what: string, where: string, setting: string, error: NodeJS.ErrnoException): Finding {
  const { code = '', message } = error;
  if (/ECONNREFUSED|ESOCKET/.test(code)) return failed(what, `nobody answers at ${where} (${message})`, START);
  if (/EDNS|ENOTFOUND/.test(code)) return failed(what, `${where}: ${message}`, 'name a host that there is: --host');
  if (code === 'ETIMEDOUT') {
    const remedy = `see whether a firewall keeps ${where} away, or its address is one of SMTP_RELAY_PROXY_PROTOCOL_NETWORKS, which says the PROXY header first`;
    return failed(what, `no answer from ${where} (${message})`, remedy);
  }
  if (code === 'ETLS') {
    const remedy = 'set SMTP_RELAY_TLS_CERT_PATH and SMTP_RELAY_TLS_KEY_PATH where the relay runs, and start it again';
    return failed(what, `${where} answers, but TLS cannot be had: ${message}`, remedy);
  }
  return failed(what, `${where}: ${message}`, `see whether ${setting} is the port of the relay`);
}
