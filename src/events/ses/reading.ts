/** A notification that cannot be read. The message says what is wrong, without quoting the notification. */
export class InvalidNotification extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'InvalidNotification';
  }
}

export type JsonObject = Readonly<Record<string, unknown>>;

/** @throws InvalidNotification */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new InvalidNotification(`${what} is not JSON`, { cause });
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A member that is needed. @throws InvalidNotification */
export function objectAt(parent: JsonObject, name: string): JsonObject {
  const value = parent[name];
  if (!isObject(value)) throw new InvalidNotification(`${name} is not an object`);
  return value;
}

const MAX_TEXT = 1_000;

/**
 * A text that is nice to have; null where there is none. It is cut at `limit` characters, since strangers wrote it. Characters that
 * Postgres cannot store in JSON (NUL, halves of surrogate pairs) are replaced.
 */
export function textAt(parent: JsonObject, name: string, limit = MAX_TEXT): string | null {
  const value = parent[name];
  return typeof value === 'string' && value !== '' ? storable(value, limit) : null;
}

/** A moment, ISO 8601; null where there is none or it cannot be read. */
export function timeAt(parent: JsonObject, name: string): Date | null {
  const value = parent[name];
  const time = typeof value === 'string' ? new Date(value) : null;
  return time === null || Number.isNaN(time.getTime()) ? null : time;
}

/** A list; empty where there is none. @throws InvalidNotification where it is something else */
export function listAt(parent: JsonObject, name: string): readonly unknown[] {
  const value = parent[name] ?? [];
  if (!Array.isArray(value)) throw new InvalidNotification(`${name} is not a list`);
  return value;
}

/** A list of addresses as the provider writes them. @throws InvalidNotification */
export function addressesAt(parent: JsonObject, name: string): readonly string[] {
  return listAt(parent, name).map(item => address(item, name));
}

/** The addresses in a list of objects that carry each one. @throws InvalidNotification */
export function recipientsAt(parent: JsonObject, name: string): readonly (JsonObject & { readonly address: string })[] {
  return listAt(parent, name).map(item => {
    if (!isObject(item)) throw new InvalidNotification(`${name} has a member that is not an object`);
    return { ...item, address: address(item['emailAddress'], name) };
  });
}

const MAX_ADDRESS = 512;

function address(value: unknown, list: string): string {
  const text = typeof value === 'string' ? storable(value.trim(), MAX_ADDRESS + 1) : '';
  if (text === '' || text.length > MAX_ADDRESS)
    throw new InvalidNotification(`${list} has a member without an address`);
  // Some receivers report `Name <user@example.com>`.
  return /<([^<>]+)>$/.exec(text)?.[1] ?? text;
}

function storable(text: string, limit: number): string {
  return text.slice(0, limit).toWellFormed().replaceAll('\0', '\ufffd');
}
