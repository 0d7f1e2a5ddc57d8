import { createHttpMetrics } from '../../../src/http/metrics.ts';
import { createOperationalListener, type OperationalListenerOptions } from '../../../src/http/operational.ts';
import { createPublicListener, type PublicListenerOptions } from '../../../src/http/public.ts';
import { createLogger } from '../../../src/observability/log.ts';
import { createRegistry, type Registry } from '../../../src/observability/metrics.ts';
import type { Hits, NewHit } from '../../../src/tracking/hits.ts';
import { createTokens, type Issuer, type TrackingToken } from '../../../src/tracking/token.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

export const SECRET = 'a secret of the tests';
const HOST = '127.0.0.1';

export interface TestPublicListener {
  readonly url: string;
  readonly port: number;
  /** Signs for this listener's host, unless another issuer is given. */
  readonly tokens: { sign(content: TrackingToken, issuer?: Partial<Issuer>): string };
  /** Those that were counted, in order. */
  readonly hits: NewHit[];
  readonly logs: string[];
  readonly registry: Registry;
}

/** A public listener on a free port, closed after the test. */
export async function openPublic(
  t: TestContext,
  options: Partial<PublicListenerOptions> & { readonly hits?: Pick<Hits, 'add'> } = {},
): Promise<TestPublicListener> {
  const signer = createTokens([SECRET]);
  const issuer: Issuer = { host: HOST, owner: 'acme' };
  const tokens = {
    sign: (content: TrackingToken, other: Partial<Issuer> = {}) => signer.sign(content, { ...issuer, ...other }),
  };
  const hits: NewHit[] = [];
  const counter = options.hits ?? { add: (hit: NewHit) => void hits.push(hit) };
  const { logger, logs } = collectingLogger();
  const registry = createRegistry();
  const listener = createPublicListener({
    host: HOST,
    port: 0,
    tracking: { tokens: () => signer, hits: counter },
    sns: null,
    logger,
    metrics: createHttpMetrics(registry),
    ...options,
  });
  t.after(() => listener.close());
  const port = await listener.open();
  return { url: `http://${HOST}:${port}`, port, tokens, hits, logs, registry };
}

/** An operational listener on a free port, closed after the test. */
export async function openOperational(t: TestContext, options: Partial<OperationalListenerOptions> = {}) {
  const { logger, logs } = collectingLogger();
  const registry = createRegistry();
  const listener = createOperationalListener({
    host: HOST,
    port: 0,
    role: 'relay',
    version: '1.2.3',
    checks: { ready: () => ({ ok: true, reasons: [] }), dependencies: {} },
    registry,
    metrics: createHttpMetrics(registry),
    logger,
    ...options,
  });
  t.after(() => listener.close());
  const port = await listener.open();
  return { url: `http://${HOST}:${port}`, port, logs, registry, listener };
}

export function collectingLogger() {
  const logs: string[] = [];
  const destination = { write: (line: string) => void logs.push(line) };
  return { logs, logger: createLogger({ level: 'debug', format: 'json', destination }) };
}
