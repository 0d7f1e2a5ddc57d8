import type { DeliveryControls, Tag } from '../../message/header/control-headers.ts';
import type { AttachmentInfo } from '../../message/mime/parts.ts';
import type { BodyText } from '../../message/text/body-text.ts';

/*
 * What of a message has a column: from here come the statements that store, claim and copy it, and the types of what they take
 * and give. A new column is added here, in a migration, and where its value comes from.
 */

/** @template T what it holds, as the program has it */
interface Column<T> {
  readonly name: string;
  /** Postgres' type, on its way into the statement, too. */
  readonly type: string;
  /** SQL for its value where a message has none. */
  readonly otherwise?: string;
  /** Whether a message that is sent again has it, too. Left out: it has. */
  readonly isCopied?: false;
  /** Never there: carries the type. */
  readonly holds?: T;
}

type Columns = Readonly<Record<string, Column<unknown>>>;

/** A message's values, as the columns have them. */
export type ValuesOf<C extends Columns> = { readonly [K in keyof C]: C[K] extends Column<infer T> ? T : never };

const column = <T>(name: string, type: string, more: Pick<Column<T>, 'otherwise' | 'isCopied'> = {}): Column<T> => ({
  name,
  type,
  ...more,
});

/** The row of `emails`, but for its status and what is the worker's. */
export const EMAIL = {
  id: column<string>('id', 'uuid'),
  userId: column<string>('user_id', 'text'),
  from: column<string>('from', 'text'),
  to: column<readonly string[]>('to', 'jsonb', { otherwise: "'[]'" }),
  cc: column<readonly string[]>('cc', 'jsonb'),
  bcc: column<readonly string[]>('bcc', 'jsonb'),
  replyTo: column<readonly string[]>('reply_to', 'jsonb'),
  subject: column<string>('subject', 'text'),
  html: column<BodyText | null>('html', 'text'),
  text: column<BodyText | null>('text', 'text'),
  headers: column<Readonly<Record<string, string>>>('headers', 'jsonb'),
  attachments: column<readonly AttachmentInfo[]>('attachments', 'jsonb'),
  tags: column<readonly Tag[]>('tags', 'jsonb'),
} satisfies Columns;

/** What a client asks of the worker. */
const CONTROLS = {
  trackOpens: column<boolean | null>('track_opens', 'boolean'),
  trackClicks: column<boolean | null>('track_clicks', 'boolean'),
} satisfies { readonly [K in keyof DeliveryControls]: Column<DeliveryControls[K]> };

/** What `smtp_relay_messages` tells the worker of a message, beside the message itself. */
export const CARRIED = {
  reversePath: column<string>('reverse_path', 'text'),
  recipients: column<readonly string[]>('recipients', 'jsonb'),
  bodyType: column<string>('body_type', 'text'),
  smtpUtf8: column<boolean>('smtp_utf8', 'boolean'),
  ...CONTROLS,
  /** It is for the transport `capture` only. */
  captured: column<boolean>('captured', 'boolean', { otherwise: 'false' }),
  /** Its key was in sandbox: it is played to all its recipients, and nothing goes out. */
  sandbox: column<boolean>('sandbox', 'boolean', { otherwise: 'false' }),
  /** Recipients whom the client was refused at RCPT, since they are on the suppression list. */
  refused: column<readonly string[]>('refused', 'jsonb', { isCopied: false }),
} satisfies Columns;

/** How a message came in. */
export const ARRIVAL = {
  clientAddress: column<string>('client_address', 'text'),
  sessionId: column<string>('session_id', 'text'),
  /** What the client called itself. */
  helo: column<string>('helo', 'text'),
  /** As `Received:` names it (RFC 3848): `ESMTPSA`. */
  protocol: column<string>('protocol', 'text'),
  /** The name of the relay that took it. */
  receivedBy: column<string>('received_by', 'text'),
} satisfies Columns;

/** Names in SQL, for a list of columns; some of them are reserved words. */
export function namesOf(columns: Columns): string {
  return listed(columns, ({ name }) => quoted(name));
}

/** Names with their types, as `json_to_recordset` wants them. */
export function definitionsOf(columns: Columns): string {
  return listed(columns, ({ name, type }) => `${quoted(name)} ${type}`);
}

/** SQL for their values, each from the column of its name, but for those of which something else is said. */
export function valuesOf(columns: Columns, others: Readonly<Record<string, string>> = {}): string {
  return listed(columns, ({ name, otherwise }) => {
    const value = others[name] ?? quoted(name);
    return otherwise === undefined ? value : `coalesce(${value}, ${otherwise})`;
  });
}

/** SQL for their values under the names that the program has for them. @param table the alias of their table */
export function selectionOf(columns: Columns, table: string): string {
  return Object.entries(columns)
    .map(([property, { name }]) => `${table}.${quoted(name)} as "${property}"`)
    .join(', ');
}

/** The same as one object of `jsonb`. */
export function objectOf(columns: Columns, table: string): string {
  const members = Object.entries(columns).map(([property, { name }]) => `'${property}', ${table}.${quoted(name)}`);
  return `jsonb_build_object(${members.join(', ')})`;
}

/** Those that a message has which is sent again. */
export function copiedOf<C extends Columns>(columns: C): Columns {
  return Object.fromEntries(Object.entries(columns).filter(([, { isCopied = true }]) => isCopied));
}

/**
 * Writes the values of some columns as members of a JSON object, each behind a comma. What is absent, and a list without anything in
 * it, is left out: `json_to_recordset` makes null of it.
 */
export function membersOf<C extends Columns>(columns: C): (values: Partial<ValuesOf<C>>) => string {
  const members = Object.entries(columns).map(([property, { name }]) => ({ property, start: `,"${name}":` }));
  return values => {
    let json = '';
    for (const { property, start } of members) {
      const value: unknown = values[property];
      if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) continue;
      json += start + JSON.stringify(value);
    }
    return json;
  };
}

function listed(columns: Columns, one: (column: Column<unknown>) => string): string {
  return Object.values(columns).map(one).join(', ');
}

function quoted(name: string): string {
  return `"${name}"`;
}
