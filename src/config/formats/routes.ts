import { domainToASCII } from 'node:url';
import { hideCredentials, nearest } from '../problem.ts';
import { descriptionOf, type Overrides, TRANSPORT_KINDS, type TransportKind } from '../transports/list.ts';
import type { RouteField, RouteFields } from '../transports/transport.ts';
import { password } from './access.ts';
import { eitherOf, type Format, FormatError, httpUrl, oneOf, text } from './format.ts';

/** The messages of some sender domains, and the transport that takes them. What it leaves out is as in the default route. */
export type RouteSetting = {
  /** `acme.com`, or `*.acme.com` for all domains below it but not itself. As A-labels, in lower case. */
  readonly domains: readonly string[];
  readonly transport: TransportKind;
  readonly name?: string;
} & { readonly [K in TransportKind]?: Overrides<K> };

const domainPattern = text('a domain, such as acme.com, or *.acme.com', value => {
  const domain = domainToASCII(value.replace(/^\*\./, ''));
  const labels = domain.split('.');
  const isGood = labels.every(label => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label));
  if (!isGood || domain.length > 253) throw new FormatError('is neither a domain nor *. and a domain');
});

const transport = oneOf(...TRANSPORT_KINDS);
const routeName = text('a name of letters, digits, ., _ and -', /^[A-Za-z0-9._-]{1,64}$/);

const ROUTE_KEYS = ['domains', 'transport', 'name', ...TRANSPORT_KINDS];

/** Routes, as JSON; a file may write them as YAML. None is the empty text. */
export const routes: Format<readonly RouteSetting[]> = {
  expected: `a list of routes, each with domains and transport, and maybe ${eitherOf(['name', ...TRANSPORT_KINDS])}; as JSON in the environment`,
  schema: {
    type: 'array',
    items: {
      type: 'object',
      properties: {
        domains: { type: 'array', items: { type: 'string', minLength: 1 }, minItems: 1 },
        transport: { enum: TRANSPORT_KINDS },
      },
      required: ['domains', 'transport'],
    },
  },
  structure: true,
  parse(value) {
    if (value === '') return [];
    const reader = new RoutesReader();
    const read = reader.read(parseJson(value));
    if (reader.problems.length > 0) throw new FormatError(`is not right: ${reader.problems.join('; ')}`);
    return read;
  },
  print: value => printRoutes(value, (_field, printed) => printed),
  show: value => printRoutes(value, hideSecret),
};

function parseJson(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    throw new FormatError('is not JSON');
  }
}

/** Reads what JSON gave, and gathers everything that is wrong with it. No problem repeats a value. */
class RoutesReader {
  readonly problems: string[] = [];

  read(value: unknown): RouteSetting[] {
    if (!Array.isArray(value)) {
      this.problems.push('routes is not a list');
      return [];
    }
    const read = value.map((route, index) => this.#route(route, `routes[${index}]`));
    const names = read.map(({ name }, index) => name ?? defaultRouteName(index));
    for (const [index, name] of names.entries()) {
      if (name === 'default' || names.indexOf(name) < index) {
        this.problems.push(`routes[${index}].name is the name of another route`);
      }
    }
    return read;
  }

  #route(value: unknown, place: string): RouteSetting {
    const entries = this.#entries(value, place, ROUTE_KEYS);
    const kind = this.#leaf(transport, entries.get('transport'), `${place}.transport`) ?? 'ses';
    const name = entries.has('name') ? this.#leaf(routeName, entries.get('name'), `${place}.name`) : undefined;
    const route = { domains: this.#domains(entries.get('domains'), `${place}.domains`), transport: kind };
    const overrides = TRANSPORT_KINDS.filter(key => entries.has(key)).map(key => {
      if (key !== kind) this.problems.push(`${place}.${key} has no meaning where transport is ${kind}`);
      return [key, this.#overrides(descriptionOf(key).route, entries.get(key), `${place}.${key}`)];
    });
    return { ...route, ...(name !== undefined && { name }), ...Object.fromEntries(overrides) };
  }

  #domains(value: unknown, place: string): string[] {
    if (!Array.isArray(value) || value.length === 0) {
      this.problems.push(`${place} is not a list of one or more domains`);
      return [];
    }
    const read = value.map((domain, index) => this.#leaf(domainPattern, domain, `${place}[${index}]`) ?? '');
    return read.map(pattern => (pattern.startsWith('*.') ? '*.' : '') + domainToASCII(pattern.replace(/^\*\./, '')));
  }

  #overrides(fields: RouteFields, value: unknown, place: string): Record<string, unknown> {
    const entries = this.#entries(value, place, Object.keys(fields));
    if (entries.has('password') && entries.has('passwordFile')) {
      this.problems.push(`${place}.password and ${place}.passwordFile are both set`);
    }
    return Object.fromEntries(
      [...entries].flatMap(([key, child]) => {
        const field = fields[key];
        return field ? [[key, this.#leaf(field.format, child, `${place}.${key}`)]] : [];
      }),
    );
  }

  /** The keys that are known and have a value. */
  #entries(value: unknown, place: string, known: readonly string[]): Map<string, unknown> {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.problems.push(`${place} is not a group of keys (${known.join(', ')})`);
      return new Map();
    }
    const entries = Object.entries(value).filter(([, child]) => child !== null);
    for (const [key] of entries.filter(([name]) => !known.includes(name))) {
      const suggestion = nearest(key, [...known]);
      const hint = suggestion === undefined ? `known are ${known.join(', ')}` : `is ${suggestion} meant?`;
      this.problems.push(`${place}.${key.slice(0, 40)} does not exist (${hint})`);
    }
    return new Map(entries.filter(([key]) => known.includes(key)));
  }

  /** A number may stand as text, as in all other sources; a text may not stand as a number. */
  #leaf<T>(format: Format<T>, value: unknown, place: string): T | undefined {
    const isNumber = typeof value === 'number' && isCount(format);
    if (typeof value !== 'string' && !isNumber) {
      this.problems.push(
        `${place} is ${value === undefined ? 'missing' : 'of the wrong type'}: write ${format.expected}`,
      );
      return undefined;
    }
    try {
      return format.parse(String(value));
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      const isEnough = error.message.includes(format.expected);
      this.problems.push(`${place} ${error.message}${isEnough ? '' : `: write ${format.expected}`}`);
      return undefined;
    }
  }
}

/** JSON has a number for it, and not a text. */
function isCount<T>({ schema }: Format<T>): boolean {
  return schema['type'] === 'integer';
}

/** The name of a route that has none. */
export function defaultRouteName(index: number): string {
  return `route-${index + 1}`;
}

type Render = (field: RouteField<unknown>, printed: unknown) => unknown;

function hideSecret({ format }: RouteField<unknown>, printed: unknown): unknown {
  if (format === password) return '***';
  return format === httpUrl ? hideCredentials(String(printed)) : printed;
}

function printRoutes(value: readonly RouteSetting[], render: Render): string {
  if (value.length === 0) return '';
  return JSON.stringify(
    value.map(route => {
      const groups = TRANSPORT_KINDS.filter(kind => route[kind] !== undefined);
      return {
        ...route,
        ...Object.fromEntries(groups.map(kind => [kind, printGroup(descriptionOf(kind).route, route[kind], render)])),
      };
    }),
  );
}

function printGroup(fields: RouteFields, group: object = {}, render: Render): Record<string, unknown> {
  const leaves = Object.entries(group).flatMap(([key, value]) => {
    const field = fields[key];
    if (!field) return [];
    return [[key, render(field, isCount(field.format) ? value : field.format.print(value))]];
  });
  return Object.fromEntries(leaves);
}
