import { shortPath } from './short-path.ts';

export interface GuideOptions {
  readonly databaseUrl: string;
  /** null where nothing is delivered here. */
  readonly delivery: DeliveryGuide | null;
}

export interface DeliveryGuide {
  /** The transport of all domains that have no route. */
  readonly transport: string;
  /** Absolute; where the transport `capture` writes. */
  readonly captured: string;
  /** For a shell; absolute. */
  readonly envFile: string;
  readonly owner: string;
  readonly domain: string;
  /** Where tracking links lead; empty for nowhere. */
  readonly trackingUrl: string;
  /** The page of what was sent; empty for none. */
  readonly inboxUrl: string;
}

/** What to try next, below the mail settings. */
export function renderGuide({ databaseUrl, delivery }: GuideOptions): string {
  const where = delivery === null ? 'Messages stay queued: the worker of OpenSend delivers them.' : describe(delivery);
  return `${where}\n\nPostgres: ${databaseUrl}\n\nMessages are shown here. Ctrl-C stops everything.\n`;
}

function describe({ transport, captured, envFile, owner, domain, trackingUrl, inboxUrl }: DeliveryGuide): string {
  const sent =
    transport === 'capture'
      ? `Nothing leaves this machine: each message is written into ${shortPath(captured)}/`
      : `Messages are sent by the transport ${transport}.`;
  const lines = [
    [`. ${shortPath(envFile)}`, 'for all that follows'],
    ['npx smtp-relay emails list', ''],
    ...(trackingUrl === ''
      ? []
      : [[`npx smtp-relay domains set ${domain} --track-opens --track-clicks`, `by way of ${trackingUrl}`]]),
    [`npx smtp-relay webhooks create http://127.0.0.1:3000/ --owner ${owner}`, 'events are posted there'],
    [`node examples/ses-notification.mjs bounce <id> <recipient>`, 'as if SES had told it'],
  ] as const;
  const width = Math.max(...lines.map(([command = '']) => command.length));
  const table = lines.map(([command = '', note = '']) => `  ${command.padEnd(width)}  ${note}`.trimEnd()).join('\n');
  const inbox = inboxUrl === '' ? '' : `Inbox: ${inboxUrl}\n\n`;
  return `${inbox}${sent}\n\nTo try more, in another terminal in the project's folder:\n\n${table}`;
}
