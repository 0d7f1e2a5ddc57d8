import { printable } from '../command.ts';

/** A line of an SMTP session. */
export interface TranscriptLine {
  /** `note`: what happened without a line of the protocol, such as the connection or TLS. */
  readonly side: 'client' | 'server' | 'note';
  readonly text: string;
}

const SIDES = { client: 'C: ', server: 'S: ', note: '   ' } as const;
/** Nodemailer's words for what an entry of its log is about. */
const NOTES = new Set(['network', 'smtp']);
const MASK = '***';

/** Takes Nodemailer's log, and tells the session of it line by line, without the key and without the message. */
export function createTranscript(secret: string | null, tell: (line: TranscriptLine) => void) {
  const secrets = secret === null ? [] : [secret, Buffer.from(secret).toString('base64')];
  const take = (entry: { readonly tnx?: string } | undefined, message: string, ...values: readonly unknown[]): void => {
    const side = sideOf(entry?.tnx);
    if (side === null) return;
    const text = secrets.reduce((shown, word) => shown.replaceAll(word, MASK), fill(message, values));
    for (const line of text.split('\n')) tell({ side, text: masked(side, line.trimEnd()) });
  };
  return {
    logger: { trace: take, debug: take, info: take, warn: take, error: take, fatal: take },
    /** For what Nodemailer does not tell. */
    note: (text: string) => tell({ side: 'note', text }),
  };
}

export function renderLine({ side, text }: TranscriptLine): string {
  return `${SIDES[side]}${printable(text)}\n`;
}

function sideOf(about: string | undefined): TranscriptLine['side'] | null {
  if (about === 'client' || about === 'server') return about;
  return about !== undefined && NOTES.has(about) ? 'note' : null;
}

/** What follows AUTH is the key, or stands in its place. */
function masked(side: TranscriptLine['side'], line: string): string {
  return side === 'client' ? line.replace(/^(AUTH \S+) .*/i, `$1 ${MASK}`) : line;
}

function fill(message: string, values: readonly unknown[]): string {
  const rest = [...values];
  return message.replaceAll(/%[sd]/g, place => (rest.length > 0 ? String(rest.shift()) : place));
}
