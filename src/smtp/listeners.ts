import { envelopeLimit, greetingName, hasTls } from '../config/derived.ts';
import { perGeneration } from '../config/live.ts';
import type { Config } from '../config/schema.ts';
import type { Context } from '../context.ts';
import { Tally } from '../flow/tally.ts';
import type { Intake } from '../intake/create-intake.ts';
import { createNetworkMatcher } from '../platform/networks.ts';
import { collectWhenDoubled, limitYoungGeneration, mapTlsBuffers, relieveHeap } from '../platform/process-memory.ts';
import { AddressCounts, createTrust } from './incoming-connections.ts';
import type { ServerSettings } from './library-options.ts';
import { observeListeners, type SmtpMetrics } from './metrics.ts';
import { RelayServer } from './server.ts';
import { ConnectChaos } from './session/connect-chaos.ts';
import { LoginGuard } from './session/login-guard.ts';
import type { SessionDependencies } from './session/session.ts';
import { createTlsMetrics, readTlsPair, type TlsPair, watchTlsPair } from './tls/certificate.ts';
import { createHandshakeMetrics, createLegacyMetrics } from './tls/handshakes.ts';

export interface ListenersParts extends Context {
  readonly intake: Intake;
  readonly metrics: SmtpMetrics;
  /** Milliseconds that messages under way have to finish. */
  readonly drainTime: number;
  /** Milliseconds behind that in which those that are cut off are told so, as soon as nothing of them is stored. */
  readonly answerTime: number;
  /** Closes what was opened, also where opening failed halfway. */
  readonly running: AsyncDisposableStack;
}

/** Where clients connect. */
export interface ListenerPorts {
  readonly port: number;
  readonly implicitTlsPort?: number;
  readonly legacyPort?: number;
}

interface ListenerMode {
  readonly implicitTls: boolean;
  readonly startTls: boolean;
  /** TLS for old devices. */
  readonly legacyTls: boolean;
}

/** @returns the ports, also where the configuration asked for any free one */
export async function openListeners(parts: ListenersParts): Promise<ListenerPorts> {
  const { live, registry, logger, drainTime, answerTime, running } = parts;
  const { host, port: startTlsPort, tls: paths } = live.current;
  const tls = hasTls(live.current) ? await readTlsPair(paths) : null;
  if (tls) await mapTlsBuffers();
  else logger.warn('no TLS certificate is configured: API keys and messages travel in clear text');
  const servers: RelayServer[] = [];
  running.defer(async () => {
    await Promise.all(servers.map(server => server.drain(drainTime, answerTime)));
  });
  const shared = shareAmong(servers, parts, tls);
  const open = (port: number, mode: ListenerMode): Promise<number> => {
    const server = new RelayServer({ ...shared, settings: perGeneration(live, of => serverSettings(of, mode)) });
    servers.push(server);
    running.defer(live.onChange(() => server.settingsChanged()));
    return server.open(port, host);
  };
  const port = await open(startTlsPort, { implicitTls: false, startTls: tls !== null, legacyTls: false });
  const { implicitPort, legacyPort, legacyMinVersion } = paths;
  const ports = {
    port,
    ...(implicitPort !== 0 && {
      implicitTlsPort: await open(implicitPort, { implicitTls: true, startTls: false, legacyTls: false }),
    }),
    ...(legacyPort !== 0 && {
      legacyPort: await open(legacyPort, { implicitTls: false, startTls: true, legacyTls: true }),
    }),
  };
  if (legacyPort !== 0) {
    createLegacyMetrics(registry);
    logger.warn(
      { port: legacyPort, minVersion: legacyMinVersion },
      'a port for old devices is open: its TLS protects little, so let nobody else use it',
    );
  }
  if (tls) running.defer(followCertificate(servers, parts, tls));
  return ports;
}

/** What all listeners have in common. */
function shareAmong(servers: readonly RelayServer[], parts: ListenersParts, tls: TlsPair | null) {
  const { live, intake, registry, metrics, logger, running } = parts;
  const counts = new AddressCounts();
  const countConnections = () => servers.reduce((count, server) => count + server.connections.size, 0);
  observeListeners(registry, {
    connections: countConnections,
    addresses: () => counts.addresses,
    bytesInFlight: () => intake.admission.used,
  });
  running.defer(relieveHeap({ connections: countConnections }));
  running.defer(limitYoungGeneration({ connections: countConnections }));
  running.defer(collectWhenDoubled());
  const trust = perGeneration(live, ({ trustedNetworks }) => createTrust(trustedNetworks));
  return {
    tls,
    session: sessionDependencies(parts),
    admission: intake.admission,
    countConnections,
    counts,
    trustedKey: (address: string) => trust()(address),
    metrics,
    handshakes: createHandshakeMetrics(registry),
    isProxy: createNetworkMatcher(live.current.proxyProtocol.networks),
    logger: logger.child({ room: 'smtp' }),
  };
}

/** @returns ends it */
function followCertificate(
  servers: readonly RelayServer[],
  { live, registry, logger }: ListenersParts,
  current: TlsPair,
): () => void {
  const metrics = createTlsMetrics(registry);
  metrics.inUse(current);
  return watchTlsPair({
    paths: live.current.tls,
    current,
    onChange: pair => {
      for (const server of servers) server.useTls(pair);
    },
    onRequest: look => live.onReloadRequest(look),
    metrics,
    logger,
  });
}

/** What sessions of this process share. */
export function sessionDependencies({
  live,
  intake,
  metrics,
  tracer,
  logger,
}: Pick<ListenersParts, 'live' | 'intake' | 'metrics' | 'tracer' | 'logger'>): SessionDependencies {
  const child = logger.child({ room: 'smtp' });
  const limits = () => live.current.limits;
  const guard = new LoginGuard({ failedLogins: intake.failedLogins, limits, metrics, logger: child });
  const connectChaos = new ConnectChaos(intake.keys, metrics);
  return { live, intake, guard, sessions: new Tally(), metrics, tracer, logger: child, connectChaos };
}

function serverSettings(config: Config, { legacyTls, ...mode }: ListenerMode): ServerSettings {
  const { tls, limits, bareLineEndings } = config;
  return {
    ...mode,
    ...limits,
    bareLineEndings,
    minVersion: legacyTls ? tls.legacyMinVersion : tls.minVersion,
    ciphers: legacyTls ? tls.legacyCiphers : tls.ciphers,
    name: greetingName(config),
    messageBytes: config.maxMessageSizeBytes,
    recipients: envelopeLimit(config),
    strangersPerAddress: Math.ceil((limits.connections * limits.addressShare) / 100),
    proxyHeaderTimeout: config.proxyProtocol.headerTimeout,
  };
}
