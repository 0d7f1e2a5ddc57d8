import { setTimeout as delay } from 'node:timers/promises';
import manifest from '../../package.json' with { type: 'json' };
import type { Logger } from './log.ts';
import { NO_TRACING, type Tracer } from './tracing.ts';

export interface TracingOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Of this process. The service is named after it, unless the environment gives a name. */
  readonly role: 'relay' | 'worker';
  readonly logger: Logger;
}

/** Disposing of it sends what is left; a collector that is away is not waited for. Never rejects. */
export interface Tracing extends AsyncDisposable {
  readonly tracer: Tracer;
}

const STOP_TIME = 2_000;

/**
 * Starts tracing where the standard variables ask for it. Otherwise nothing of OpenTelemetry is loaded. To be started
 * before all else, and stopped after it.
 *
 * (OpenTelemetry specification, "Environment Variable Specification": exporters default to `otlp`, and its endpoint to one
 * on the same machine. A process must not look for a collector that it was not told of, so one of them must be set.)
 */
export async function startTracing({ env, role, logger }: TracingOptions): Promise<Tracing> {
  if (!isTracingWanted(env)) return { tracer: NO_TRACING, [Symbol.asyncDispose]: async () => {} };
  const child = logger.child({ room: 'observability' });
  const { startOpenTelemetry } = await import('./opentelemetry.ts');
  const serviceName = isServiceNamed(env) ? null : `smtp-relay-${role}`;
  const sdk = startOpenTelemetry({ serviceName, version: manifest.version, logger: child });
  child.info('tracing');
  return {
    tracer: sdk.tracer,
    async [Symbol.asyncDispose]() {
      const stopped = sdk.stop().catch(error => child.warn({ err: error }, 'the last spans are lost'));
      await Promise.race([stopped, delay(STOP_TIME, undefined, { ref: false })]);
    },
  };
}

export function isTracingWanted(env: NodeJS.ProcessEnv): boolean {
  if (env['OTEL_SDK_DISABLED']?.trim().toLowerCase() === 'true') return false;
  const exporter = env['OTEL_TRACES_EXPORTER']?.trim() ?? '';
  if (exporter !== '') return !exporter.split(',').some(name => name.trim() === 'none');
  return [env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'], env['OTEL_EXPORTER_OTLP_ENDPOINT']].some(url => url?.trim());
}

function isServiceNamed(env: NodeJS.ProcessEnv): boolean {
  return Boolean(
    env['OTEL_SERVICE_NAME']?.trim() || /(^|,)\s*service\.name=/.test(env['OTEL_RESOURCE_ATTRIBUTES'] ?? ''),
  );
}
