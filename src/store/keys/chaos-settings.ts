/**
 * Where a client may be refused on purpose; `connect` in place of the greeting, for addresses that the key has logged in from;
 * `message` is the reply to the message itself, after the dot.
 */
export const CHAOS_STAGES = ['connect', 'AUTH', 'MAIL', 'RCPT', 'DATA', 'message'] as const;
export type ChaosStage = (typeof CHAOS_STAGES)[number];

export const CHAOS_CODES = [421, 450, 451, 550] as const;
export type ChaosCode = (typeof CHAOS_CODES)[number];

/** Seconds, at most: of a reply that is slow, and of one that comes too late. */
export const SLOWEST = 600;
export const LATEST = 1_800;

/** What goes wrong on purpose for a key in sandbox. Shares are in percent. */
export interface Chaos {
  /** Of those of one stage, at most one is given. */
  readonly replies?: readonly { readonly stage: ChaosStage; readonly code: ChaosCode; readonly percent: number }[];
  /** Each reply to AUTH, MAIL, RCPT, DATA and the message takes so long. */
  readonly slowSeconds?: number;
  /** In place of the key's own limit. */
  readonly messagesPerMinute?: number;
  /** Connections that are cut in the middle of DATA. */
  readonly cutPercent?: number;
  /** Messages that are accepted, and whose 250 comes so much later. */
  readonly late?: { readonly percent: number; readonly seconds: number };
}

/** A stage that more than all are to be refused at: the last of its replies would come less often than said. null where there is none. */
export function overfullStage({ replies = [] }: Chaos): ChaosStage | null {
  const share = (of: ChaosStage) => replies.reduce((sum, { stage, percent }) => sum + (stage === of ? percent : 0), 0);
  return CHAOS_STAGES.find(stage => share(stage) > 100) ?? null;
}

/** What goes wrong, for people: a sentence each. */
export function describeChaos(chaos: Chaos): string[] {
  const { replies = [], slowSeconds, messagesPerMinute, cutPercent, late } = chaos;
  const lines = replies.map(({ stage, code, percent }) => `${percent} % get ${code} ${AT[stage]}`);
  if (slowSeconds) lines.push(`each reply takes ${slowSeconds} s`);
  if (messagesPerMinute)
    lines.push(`${messagesPerMinute} ${messagesPerMinute === 1 ? 'message' : 'messages'} a minute at most`);
  if (cutPercent) lines.push(`${cutPercent} % of connections are cut in the middle of DATA`);
  if (late) lines.push(`${late.percent} % of the 250s come ${late.seconds} s late`);
  return lines;
}

const AT: Readonly<Record<ChaosStage, string>> = {
  connect: 'when they connect, from where keys in sandbox alone have logged in for a day',
  AUTH: 'to AUTH',
  MAIL: 'to MAIL',
  RCPT: 'to RCPT',
  DATA: 'to DATA',
  message: 'after the message',
};
