import type { TLSSocket } from 'node:tls';
import { Mailers } from '../../support/mailers.ts';
import { SmtpClient } from '../../support/smtp-client.ts';
import { get } from './commands.ts';
import { CLIENT, SERVER_NAME } from './production.ts';
import type { Release } from './release.ts';

interface TestContext {
  after(fn: () => void): void;
}

/** The relay as clients outside the cluster see it. */
export interface Server {
  readonly host: string;
  readonly port: number;
  /** PEM text. */
  readonly ca: string;
  /** The name in its certificate; that of `productionValues` unless given. */
  readonly servername?: string;
}

/** @param tlsSecret has the authority's certificate as `ca.crt` */
export async function serverOf(release: Release, namespace: string, tlsSecret: string): Promise<Server> {
  const { data } = await get<{ data: Record<string, string> }>([`secret/${tlsSecret}`, '-n', namespace]);
  const ca = Buffer.from(data['ca.crt'] ?? '', 'base64').toString();
  return { host: await release.address(), port: 2587, ca };
}

/** Applications that send some fifty messages a second, by three pools of four connections each. */
export function startMailers(server: Server, key: string): Mailers {
  const from = CLIENT.from;
  return new Mailers({ servername: SERVER_NAME, ...server, key, from, pools: 3, connections: 4, pause: 200 });
}

/** The serial number of the certificate that a new connection gets. */
export async function presentedSerial(t: TestContext, server: Server): Promise<string> {
  const client = await SmtpClient.secured(t, server, { tls: { servername: server.servername ?? SERVER_NAME } });
  const { serialNumber } = (client.socket as TLSSocket).getPeerCertificate();
  client.destroy();
  return serialNumber;
}
