import { envelopeLimit, greetingName, hasTls } from '../config/derived.ts';
import { type LiveConfig, perGeneration } from '../config/live.ts';
import type { Config } from '../config/schema.ts';
import type { Logger } from '../observability/log.ts';
import type { Registry } from '../observability/metrics.ts';
import { ByteBudget } from './byte-budget.ts';
import type { ServerSettings } from './library-options.ts';
import { observeListeners, type SmtpMetrics } from './metrics.ts';
import { createNetworkMatcher } from './networks.ts';
import { RelayServer } from './server.ts';
import type { SessionDependencies } from './session.ts';
import { Tally } from './tally.ts';
import { readTlsPair, type TlsPair } from './tls.ts';
import { createTlsMetrics } from './tls-metrics.ts';
import { watchTlsPair } from './tls-watch.ts';
import { createTrust } from './trusted-networks.ts';

export interface ListenersOptions {
  readonly live: LiveConfig;
  readonly session: SessionDependencies;
  readonly registry: Registry;
  readonly metrics: SmtpMetrics;
  readonly logger: Logger;
  /** Milliseconds that messages under way have to finish. */
  readonly drainTime: number;
  /** Closes what was opened, also where opening failed halfway. */
  readonly running: AsyncDisposableStack;
}

/** @returns the ports, also where the configuration asked for any free one */
export async function openListeners({
  live,
  session,
  registry,
  metrics,
  logger,
  drainTime,
  running,
}: ListenersOptions): Promise<{ readonly port: number; readonly implicitTlsPort?: number }> {
  const config = live.current;
  const tls = hasTls(config) ? await readTlsPair(config.tls) : null;
  if (tls === null) logger.warn('no TLS certificate is configured: API keys and messages travel in clear text');
  const servers: RelayServer[] = [];
  running.defer(async () => {
    await Promise.all(servers.map(server => server.drain(drainTime)));
  });
  const budget = new ByteBudget(() => live.current.limits.bytesInFlight);
  const countConnections = () => servers.reduce((count, server) => count + server.connections.size, 0);
  observeListeners(registry, { connections: countConnections, bytesInFlight: () => budget.used });
  const trust = perGeneration(live, ({ trustedNetworks }) => createTrust(trustedNetworks));
  const shared = {
    tls,
    session,
    budget,
    countConnections,
    addresses: new Tally(),
    trustedKey: (address: string) => trust()(address),
    metrics,
    isProxy: createNetworkMatcher(config.proxyProtocol.networks),
    logger: logger.child({ room: 'smtp' }),
  };
  const open = (port: number, implicitTls: boolean): Promise<number> => {
    const mode = { implicitTls, startTls: tls !== null && !implicitTls };
    const server = new RelayServer({ ...shared, settings: perGeneration(live, of => serverSettings(of, mode)) });
    servers.push(server);
    running.defer(live.onChange(() => server.settingsChanged()));
    return server.open(port, config.host);
  };
  const port = await open(config.port, false);
  const implicitTlsPort = config.tls.implicitPort === 0 ? null : await open(config.tls.implicitPort, true);
  if (tls) {
    const tlsMetrics = createTlsMetrics(registry);
    tlsMetrics.inUse(tls);
    const useEverywhere = (pair: TlsPair): void => {
      for (const server of servers) server.useTls(pair);
    };
    running.defer(
      watchTlsPair({ paths: config.tls, current: tls, onChange: useEverywhere, metrics: tlsMetrics, logger }),
    );
  }
  return { port, ...(implicitTlsPort !== null && { implicitTlsPort }) };
}

function serverSettings(config: Config, mode: { readonly implicitTls: boolean; readonly startTls: boolean }) {
  return {
    ...mode,
    name: greetingName(config),
    messageBytes: config.maxMessageSizeBytes,
    bareLineEndings: config.bareLineEndings,
    recipients: envelopeLimit(config),
    connections: config.limits.connections,
    connectionsPerAddress: config.limits.connectionsPerAddress,
    idleTimeout: config.limits.idleTimeout,
    dataTimeout: config.limits.dataTimeout,
    dataRate: config.limits.dataRate,
    dataGrace: config.limits.dataGrace,
    sessionTimeout: config.limits.sessionTimeout,
    proxyHeaderTimeout: config.proxyProtocol.headerTimeout,
  } satisfies ServerSettings;
}
