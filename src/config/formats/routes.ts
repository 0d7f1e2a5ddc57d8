import { domainToASCII } from 'node:url';
import { nearest } from '../nearest.ts';
import { hideCredentials } from '../problem.ts';
import { configurationSet, password, roleArn, serverHost, userName } from './delivery.ts';
import { awsRegion, type Format, FormatError, httpUrl, oneOf, path, port, text, wholeNumber } from './format.ts';
import { duration } from './time.ts';

/** The messages of some sender domains, and the transport that takes them. What it leaves out is as in the default route. */
export interface RouteSetting {
  /** `acme.com`, or `*.acme.com` for all domains below it but not itself. As A-labels, in lower case. */
  readonly domains: readonly string[];
  readonly transport: 'ses' | 'smtp' | 'capture';
  readonly name?: string;
  readonly ses?: SesOverrides;
  readonly smtp?: SmtpOverrides;
  readonly capture?: CaptureOverrides;
}

export interface SesOverrides {
  readonly region?: string;
  readonly roleArn?: string;
  readonly configurationSet?: string;
  readonly endpoint?: string;
  /** Recipients a second. */
  readonly sendRate?: number;
}

export interface SmtpOverrides {
  readonly host?: string;
  readonly port?: number;
  readonly security?: 'starttls' | 'tls' | 'none';
  readonly user?: string;
  readonly password?: string;
  /** A file that holds the password. */
  readonly passwordFile?: string;
  readonly connections?: number;
  /** Milliseconds. */
  readonly timeout?: number;
  readonly caPath?: string;
}

export interface CaptureOverrides {
  readonly directory?: string;
}

const domainPattern = text('a domain, such as acme.com, or *.acme.com', value => {
  const domain = domainToASCII(value.replace(/^\*\./, ''));
  const labels = domain.split('.');
  const isGood = labels.every(label => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label));
  if (!isGood || domain.length > 253) throw new FormatError('is neither a domain nor *. and a domain');
});

const TRANSPORTS = ['ses', 'smtp', 'capture'] as const;
const transport = oneOf(...TRANSPORTS);
const routeName = text('a name of letters, digits, ., _ and -', /^[A-Za-z0-9._-]{1,64}$/);

type Shape<T> = { readonly [K in keyof T]-?: Format<NonNullable<T[K]>> };

const SES: Shape<SesOverrides> = {
  region: awsRegion,
  roleArn,
  configurationSet,
  endpoint: httpUrl,
  sendRate: wholeNumber(0, 1_000_000),
};

const SMTP: Shape<SmtpOverrides> = {
  host: serverHost,
  port,
  security: oneOf('starttls', 'tls', 'none'),
  user: userName,
  password,
  passwordFile: path,
  connections: wholeNumber(1, 1000),
  timeout: duration,
  caPath: path,
};

const CAPTURE: Shape<CaptureOverrides> = { directory: path };

const OVERRIDES = { ses: SES, smtp: SMTP, capture: CAPTURE };
const NUMBERS: ReadonlySet<string> = new Set(['sendRate', 'port', 'connections']);
const ROUTE_KEYS = ['domains', 'transport', 'name', ...TRANSPORTS];

/** Routes, as JSON; a file may write them as YAML. None is the empty text. */
export const routes: Format<readonly RouteSetting[]> = {
  expected:
    'a list of routes, each with domains and transport, and maybe name, ses, smtp or capture; as JSON in the environment',
  structure: true,
  parse(value) {
    if (value === '') return [];
    const reader = new RoutesReader();
    const read = reader.read(parseJson(value));
    if (reader.problems.length > 0) throw new FormatError(`is not right: ${reader.problems.join('; ')}`);
    return read;
  },
  print: value => printRoutes(value, (_key, printed) => printed),
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
    const overrides = TRANSPORTS.filter(key => entries.has(key)).map(key => {
      if (key !== kind) this.problems.push(`${place}.${key} has no meaning where transport is ${kind}`);
      return [key, this.#overrides(OVERRIDES[key], entries.get(key), `${place}.${key}`)];
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

  #overrides(shape: object, value: unknown, place: string): Record<string, unknown> {
    const entries = this.#entries(value, place, Object.keys(shape));
    if (entries.has('password') && entries.has('passwordFile')) {
      this.problems.push(`${place}.password and ${place}.passwordFile are both set`);
    }
    const formats = formatsOf(shape);
    return Object.fromEntries(
      [...entries].flatMap(([key, child]) => {
        const format = formats.get(key);
        return format ? [[key, this.#leaf(format, child, `${place}.${key}`)]] : [];
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
    const isNumber = typeof value === 'number' && NUMBERS.has(place.slice(place.lastIndexOf('.') + 1));
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

function formatsOf(shape: object): ReadonlyMap<string, Format<unknown>> {
  return new Map(Object.entries(shape));
}

/** The name of a route that has none. */
export function defaultRouteName(index: number): string {
  return `route-${index + 1}`;
}

function hideSecret(key: string, printed: string | number): string | number {
  if (key === 'password') return '***';
  return key === 'endpoint' ? hideCredentials(String(printed)) : printed;
}

type Render = (key: string, printed: string | number) => string | number;

function printRoutes(value: readonly RouteSetting[], render: Render): string {
  if (value.length === 0) return '';
  return JSON.stringify(value.map(route => ({ ...route, ...printOverrides(route, render) })));
}

function printOverrides(route: RouteSetting, render: Render): Record<string, unknown> {
  const groups = TRANSPORTS.flatMap(kind => {
    const group = route[kind];
    return group === undefined ? [] : [[kind, printGroup(OVERRIDES[kind], group, render)] as const];
  });
  return Object.fromEntries(groups);
}

function printGroup(shape: object, group: object, render: Render): Record<string, unknown> {
  const formats = formatsOf(shape);
  const leaves = Object.entries(group).map(([key, value]) => {
    const printed = NUMBERS.has(key) ? value : (formats.get(key)?.print(value) ?? '');
    return [key, render(key, printed)];
  });
  return Object.fromEntries(leaves);
}
