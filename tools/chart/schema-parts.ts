export type Schema = { [keyword: string]: unknown };

/* What definitions of values are put together from. */

export const whole = (minimum: number, maximum?: number): Schema => ({
  type: 'integer',
  minimum,
  ...(maximum !== undefined && { maximum }),
});
export const text = (pattern: string): Schema => ({ type: 'string', pattern });
export const words = (...all: string[]): Schema => ({ enum: all });
export const truth: Schema = { type: 'boolean' };
export const anything: Schema = { type: 'object' };
export const named: Schema = { type: 'string', minLength: 1 };

export function group(properties: Schema, required: readonly string[] = []): Schema {
  return { type: 'object', properties, ...(required.length > 0 && { required }), additionalProperties: false };
}

/** A group that has one of these and no other. */
export function oneOf(properties: Schema): Schema {
  return { ...group(properties), minProperties: 1, maxProperties: 1 };
}

/** What else is asked of a group whose field is such. */
export function where(field: string, is: Schema, then: Schema): Schema {
  return { if: { properties: { [field]: is }, required: [field] }, then };
}

export const listOf = (items: Schema): Schema => ({ type: 'array', items });
export const ref = (name: string): Schema => ({ $ref: `#/$defs/${name}` });
