import { envelopeLimit, greetingName, hasTls } from '../config/derived.ts';
import { perGeneration } from '../config/live.ts';
import type { Config } from '../config/schema.ts';
import type { Context } from '../context.ts';
import { Tally } from '../flow/tally.ts';
import type { Intake } from '../intake/create-intake.ts';
import { createNetworkMatcher } from '../platform/networks.ts';
import { limitYoungGeneration, mapTlsBuffers, relieveHeap } from '../platform/process-memory.ts';
import { AddressCounts, createTrust } from './incoming-connections.ts';
import type { ServerSettings } from './library-options.ts';
import { observeListeners, type SmtpMetrics } from './metrics.ts';
import { RelayServer } from './server.ts';
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
  const { live, intake, registry, metrics, logger, drainTime, answerTime, running } = parts;
  const config = live.current;
  const tls = hasTls(config) ? await readTlsPair(config.tls) : null;
  if (tls) await mapTlsBuffers();
  else logger.warn('no TLS certificate is configured: API keys and messages travel in clear text');
  const servers: RelayServer[] = [];
  running.defer(async () => {
    await Promise.all(servers.map(server => server.drain(drainTime, answerTime)));
  });
  const counts = new AddressCounts();
  const countConnections = () => servers.reduce((count, server) => count + server.connections.size, 0);
  observeListeners(registry, {
    connections: countConnections,
    addresses: () => counts.addresses,
    bytesInFlight: () => intake.admission.used,
  });
  running.defer(relieveHeap({ connections: countConnections }));
  running.defer(limitYoungGeneration());
  const trust = perGeneration(live, ({ trustedNetworks }) => createTrust(trustedNetworks));
  const shared = {
    tls,
    session: sessionDependencies(parts),
    admission: intake.admission,
    countConnections,
    counts,
    trustedKey: (address: string) => trust()(address),
    metrics,
    handshakes: createHandshakeMetrics(registry),
    isProxy: createNetworkMatcher(config.proxyProtocol.networks),
    logger: logger.child({ room: 'smtp' }),
  };
  const open = (port: number, mode: ListenerMode): Promise<number> => {
    const server = new RelayServer({ ...shared, settings: perGeneration(live, of => serverSettings(of, mode)) });
    servers.push(server);
    running.defer(live.onChange(() => server.settingsChanged()));
    return server.open(port, config.host);
  };
  const port = await open(config.port, { implicitTls: false, startTls: tls !== null, legacyTls: false });
  const { implicitPort, legacyPort } = config.tls;
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
      { port: legacyPort, minVersion: config.tls.legacyMinVersion },
      'a port for old devices is open: its TLS protects little, so let nobody else use it',
    );
  }
  if (tls) {
    const tlsMetrics = createTlsMetrics(registry);
    tlsMetrics.inUse(tls);
    const useEverywhere = (pair: TlsPair): void => {
      for (const server of servers) server.useTls(pair);
    };
    running.defer(
      watchTlsPair({
        paths: config.tls,
        current: tls,
        onChange: useEverywhere,
        onRequest: look => live.onReloadRequest(look),
        metrics: tlsMetrics,
        logger,
      }),
    );
  }
  return ports;
}

function sessionDependencies({ live, intake, metrics, tracer, logger }: ListenersParts): SessionDependencies {
  const child = logger.child({ room: 'smtp' });
  const limits = () => live.current.limits;
  const guard = new LoginGuard({ failedLogins: intake.failedLogins, limits, metrics, logger: child });
  return { live, intake, guard, sessions: new Tally(), metrics, tracer, logger: child };
}

function serverSettings(config: Config, { legacyTls, ...mode }: ListenerMode) {
  const { tls } = config;
  return {
    ...mode,
    minVersion: legacyTls ? tls.legacyMinVersion : tls.minVersion,
    ciphers: legacyTls ? tls.legacyCiphers : tls.ciphers,
    name: greetingName(config),
    messageBytes: config.maxMessageSizeBytes,
    bareLineEndings: config.bareLineEndings,
    recipients: envelopeLimit(config),
    connections: config.limits.connections,
    connectionsPerAddress: config.limits.connectionsPerAddress,
    strangersPerAddress: Math.ceil((config.limits.connections * config.limits.addressShare) / 100),
    loginTimeout: config.limits.loginTimeout,
    idleTimeout: config.limits.idleTimeout,
    dataTimeout: config.limits.dataTimeout,
    dataRate: config.limits.dataRate,
    dataGrace: config.limits.dataGrace,
    sessionTimeout: config.limits.sessionTimeout,
    proxyHeaderTimeout: config.proxyProtocol.headerTimeout,
  } satisfies ServerSettings;
}
