import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '../src/config/load.ts';
import type { Config } from '../src/config/schema.ts';
import type { Logger } from '../src/observability/log.ts';
import { devEnvironment, presetEnvironment, renderEnvironmentFile } from './environment.ts';
import { type DemoOwner, keepDemoOwner } from './owner.ts';
import { type Parts, startParts } from './parts.ts';
import { type DevPorts, type NamedPort, readPorts, requireFreePorts } from './ports.ts';
import { renderGuide } from './show/guide.ts';
import { renderSettings } from './show/settings.ts';
import { lockState } from './state.ts';
import { type System, startSystem } from './system.ts';

export interface DevOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly stdout: NodeJS.WritableStream;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** From now on, errors that nobody caught are logged here, and the process goes on. */
  readonly surviveFaults: (logger: Logger) => void;
  /** Where it keeps its state; `.dev` of the project unless given. */
  readonly directory?: string;
}

const DIRECTORY = fileURLToPath(new URL('../.dev', import.meta.url));

/**
 * Runs the whole system on this machine until the signal: embedded Postgres and SQS, a local certificate, a demo owner, the
 * relay and the worker. Prints what to tell a mail client, then a line for all that happens to a message. All is stopped in
 * reverse order.
 *
 * @throws Error whose message says what to do: a port is taken, another one runs, a package is missing
 */
export async function runDev(options: DevOptions): Promise<void> {
  const { env, stdout, signal, surviveFaults, directory = DIRECTORY } = options;
  const say = (text: string) => void stdout.write(`${text}\n`);
  const ports = readPorts(env);
  const early = loadConfig(presetEnvironment(env), { require: [], checkTlsFiles: false }).config;
  await using running = new AsyncDisposableStack();
  running.defer(await lockState(resolve(directory)));
  await requireFreePorts(portsOf(early, ports));

  const parts = await startParts({ directory: resolve(directory), ports, running, say });
  if (signal.aborted) return;
  const own = devEnvironment(env, parts, early.publicPort);
  await writeFile(parts.state.envFile, renderEnvironmentFile(own), { mode: 0o600 });
  const { sqsEndpoint } = parts;
  const system = await startSystem({ env: own, sqsEndpoint, running, show: say, surviveFaults });
  if (signal.aborted) return;
  say(introduce(system, parts, await keepDemoOwner(system.db, parts.state.keyFile)));
  system.watch.start();
  if (!signal.aborted) await once(signal, 'abort');
  say('\nStopping.');
}

/** `0` switches a listener of the worker off. */
function portsOf(config: Config, ports: DevPorts): NamedPort[] {
  const { port, host, publicPort, publicHost, httpPort, httpHost, inbox } = config;
  return [
    { name: 'SMTP_RELAY_PORT', port, host },
    { name: 'SMTP_RELAY_PUBLIC_PORT', port: publicPort, host: publicHost },
    { name: 'SMTP_RELAY_HTTP_PORT', port: httpPort, host: httpHost },
    { name: 'SMTP_RELAY_INBOX_PORT', port: inbox.enabled ? inbox.port : 0, host: inbox.host },
    { name: 'DEV_POSTGRES_PORT', port: ports.postgres },
    { name: 'DEV_SQS_PORT', port: ports.sqs },
  ].filter(named => named.port !== 0);
}

function introduce({ config, port, inboxPort, delivers }: System, parts: Parts, demo: DemoOwner): string {
  const { certPath } = config.tls;
  const settings = renderSettings({
    host: clientHost(config.host),
    port,
    caFile: certPath === parts.tls.cert ? parts.tls.ca : undefined,
    apiKey: demo.apiKey,
    domain: demo.domain,
  });
  const delivery = {
    transport: config.transport,
    captured: resolve(config.capture.directory),
    envFile: parts.state.envFile,
    owner: demo.owner,
    domain: demo.domain,
    trackingUrl: config.tracking.baseUrl,
    inboxUrl: inboxPort === undefined ? '' : `http://localhost:${inboxPort}`,
  };
  return `${settings}\n${renderGuide({ databaseUrl: parts.databaseUrl, delivery: delivers ? delivery : null })}`;
}

/** Where a client on this machine finds a relay that listens on that address. */
function clientHost(host: Config['host']): string {
  return host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
}
