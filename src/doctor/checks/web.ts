import { OPEN_PATH } from '../../tracking/token.ts';
import { type DoctorParts, type Finding, failed, ok, skipped } from '../finding.ts';

/** What the operational listener says of the process behind it. */
export async function checkReadiness({ config, host }: DoctorParts, signal: AbortSignal): Promise<Finding[]> {
  const what = 'readiness';
  const { httpPort } = config;
  if (httpPort === 0) return [skipped(what, 'no operational listener (SMTP_RELAY_HTTP_PORT is 0)')];
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${httpPort}/readyz`;
  const answer = await get(url, signal);
  if (answer instanceof Error) {
    const remedy =
      'start the relay or worker; where it runs elsewhere, name that with --host, and its SMTP_RELAY_HTTP_PORT';
    return [failed(what, `${url} does not answer: ${answer.message}`, remedy)];
  }
  if (answer.ok) return [ok(what, `${url} says ready`)];
  const { reasons } = (await answer.json().catch(() => ({}))) as { readonly reasons?: unknown };
  const why = Array.isArray(reasons) ? reasons.join('; ') : `answer ${answer.status}`;
  return [failed(what, `not ready: ${why}`, 'see its log, and /healthz, which names the dependency')];
}

/** Whether recipients reach the public listener: a pixel is answered to everybody, and one without a token counts for nothing. */
export async function checkPublicUrl({ config, role }: DoctorParts, signal: AbortSignal): Promise<Finding[]> {
  const what = 'public URL';
  const { baseUrl } = config.tracking;
  if (config.pipeline === 'opensend' || role === 'relay') return [skipped(what, 'a worker of this program has it')];
  if (baseUrl === '') return [skipped(what, 'none (TRACKING_BASE_URL), so nothing is tracked')];
  const url = `${baseUrl.replace(/\/$/, '')}${OPEN_PATH}doctor`;
  const remedy =
    'have the name of TRACKING_BASE_URL lead to the public listener of the workers (SMTP_RELAY_PUBLIC_PORT)';
  const answer = await get(url, signal);
  if (answer instanceof Error) return [failed(what, `${baseUrl} does not answer: ${answer.message}`, remedy)];
  const isOurs = answer.ok && answer.headers.get('content-type') === 'image/gif';
  await answer.body?.cancel();
  if (isOurs) return [ok(what, `${baseUrl} leads to the public listener`)];
  return [failed(what, `${baseUrl} leads to something else: answer ${answer.status}`, remedy)];
}

async function get(url: string, signal: AbortSignal): Promise<Response | Error> {
  try {
    return await fetch(url, { signal, redirect: 'manual' });
  } catch (error) {
    // What failed is in the cause: that fetch failed is known.
    const { cause } = error as Error;
    return cause instanceof Error && cause.message !== '' ? cause : (error as Error);
  }
}
