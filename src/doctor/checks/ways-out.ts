import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { greetingName } from '../../config/derived.ts';
import type { RouteSettings } from '../../config/transports/list.ts';
import { SmtpSessionError } from '../../delivery/transport/smtp/connection.ts';
import { SmtpSession } from '../../delivery/transport/smtp/session.ts';
import { advice, type DoctorParts, type Finding, failed, ok, skipped } from '../finding.ts';
import { routesInForce } from '../routes-in-force.ts';

/** Milliseconds for each answer of a smarthost. */
const TIMEOUT = 5_000;

/** The ways out beside SES: smarthosts are logged in to, without a message, and folders have to take files. */
export async function checkWaysOut({ config, role, db }: DoctorParts, signal: AbortSignal): Promise<Finding[]> {
  if (config.pipeline === 'opensend') return [skipped('ways out', "OpenSend's worker sends")];
  if (role === 'relay') return [skipped('ways out', 'the worker sends')];
  const name = greetingName(config);
  const { routes, findings } = await routesInForce({ config, db });
  const found = await Promise.all(
    routes.all.map(route => {
      const what = `route ${route.name}`;
      if (route.transport === 'smtp') return checkSmarthost(what, route.settings, name, signal);
      if (route.transport === 'capture') return checkFolder(what, route.settings.directory);
      return ok(what, 'Amazon SES');
    }),
  );
  return [...found, ...findings];
}

async function checkSmarthost(
  what: string,
  settings: RouteSettings<'smtp'>,
  name: string,
  signal: AbortSignal,
): Promise<Finding> {
  const where = `${settings.host}:${settings.port}`;
  try {
    const timeout = Math.min(settings.timeout, TIMEOUT);
    const session = await SmtpSession.open({ ...settings, timeout, name }, signal);
    await session.quit();
    const user = settings.user === '' ? 'takes a connection, without a log-in' : `takes the log-in of ${settings.user}`;
    return ok(what, `${where} ${user}`);
  } catch (error) {
    if (!(error instanceof SmtpSessionError)) throw error;
    const { step, reply, fault } = error.failure;
    const why = reply ?? (error.cause instanceof Error ? error.cause.message : fault);
    const remedy =
      step === 'login'
        ? 'check SMTP_RELAY_SMTP_USER and SMTP_RELAY_SMTP_PASSWORD, or those of the route'
        : 'check SMTP_RELAY_SMTP_HOST, SMTP_RELAY_SMTP_PORT, SMTP_RELAY_SMTP_SECURITY and SMTP_RELAY_SMTP_CA_PATH, or those of the route';
    return failed(what, `${where}: ${why}`, remedy);
  }
}

async function checkFolder(what: string, directory: string): Promise<Finding> {
  const folder = resolve(directory);
  const remedy = 'set SMTP_RELAY_CAPTURE_DIRECTORY to a folder that the worker may write to';
  for (const candidate of [folder, dirname(folder)]) {
    try {
      await access(candidate, constants.W_OK);
      const detail = `messages are written to ${folder}, and none leaves this machine`;
      return advice(what, detail, 'set SMTP_RELAY_TRANSPORT=ses or smtp to send');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') break;
    }
  }
  return failed(what, `${folder} cannot be written to`, remedy);
}
