import { join } from 'node:path';
import { eventKind } from '../../src/store/event-types.ts';
import type { AcceptedFacts, EventFacts, Happening, TriedFacts, WebhookFacts } from './happenings.ts';
import { shortPath } from './short-path.ts';

/** One happening as one line: time, the end of the message's id, what, and the rest. */
export function renderHappening(happening: Happening, captured: string): string {
  const [what, text] = describe(happening, captured);
  const time = happening.at.toTimeString().slice(0, 8);
  // Its end: it begins with the time, and so as those of its neighbours do.
  const id = (happening.emailId ?? '').slice(-8).padEnd(8);
  // A client or recipient chooses some of these texts: none may end the line or talk to the terminal.
  return `${time}  ${id}  ${what.padEnd(10)}  ${text}`.replace(/\p{Cc}+/gu, ' ').trimEnd();
}

function describe(happening: Happening, captured: string): [what: string, text: string] {
  switch (happening.kind) {
    case 'accepted':
      return ['accepted', describeArrival(happening.facts, happening.emailId)];
    case 'tried':
      return [describeOutcome(happening.facts), describeTry(happening.facts, captured)];
    case 'event':
      return [happening.facts.type.replace('delivery_delayed', 'delayed'), describeEvent(happening.facts)];
    case 'webhook':
      return ['webhook', describeDelivery(happening.facts)];
  }
}

function describeArrival({ from, recipients, subject, size }: AcceptedFacts, emailId: string | null): string {
  const bytes = size === null ? '' : `  ${size} B`;
  return `${from} -> ${describeRecipients(recipients)}  "${subject}"${bytes}  ${emailId}`;
}

function describeOutcome({ outcome }: TriedFacts): string {
  return { sent: 'sent', transient: 'put off', unknown: 'unknown' }[outcome];
}

function describeTry({ outcome, transport, code, message, providerMessageId }: TriedFacts, captured: string): string {
  if (outcome !== 'sent') return `by ${transport}: ${words(code, message)}`;
  if (transport === 'capture' && providerMessageId !== null) return shortPath(join(captured, providerMessageId));
  return `by ${words(transport, providerMessageId && `as ${providerMessageId}`)}`;
}

/** What of an event's details is worth a look. */
const SHOWN: Readonly<Record<string, readonly string[]>> = {
  opened: ['user_agent'],
  clicked: ['link'],
  bounced: ['type', 'sub_type', 'message'],
  complained: ['type'],
  delivery_delayed: ['type'],
  failed: ['code', 'message'],
  suppressed: ['message'],
};

function describeEvent({ type, payload }: EventFacts): string {
  const { recipients, url } = payload;
  const about = Array.isArray(recipients) ? describeRecipients(recipients.map(String)) : `${url ?? ''}`;
  const details = payload[eventKind(type)?.member ?? ''] as Readonly<Record<string, unknown>> | undefined;
  return `${about}  ${words(...(SHOWN[type] ?? []).map(name => details?.[name]))}`;
}

function describeDelivery({ event, url, status, statusCode, answer }: WebhookFacts): string {
  const result = statusCode === null ? `no answer: ${answer ?? ''}` : `${statusCode}`;
  const next: Readonly<Record<string, string>> = { failed: ', tried again later', dead_letter: ', given up' };
  return `${event} -> ${url}  ${result}${next[status] ?? ''}`;
}

function describeRecipients([first = 'nobody', ...others]: readonly string[]): string {
  return others.length > 0 ? `${first} +${others.length}` : first;
}

function words(...parts: readonly unknown[]): string {
  return parts.filter(part => typeof part === 'string' && part !== '').join(' ');
}
