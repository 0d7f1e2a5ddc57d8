import Type, { type TSchema } from 'typebox';
import { FormatError } from '../../config/formats/format.ts';
import { routes as routesFormat } from '../../config/formats/routes.ts';
import { descriptionOf, type Overrides, TRANSPORT_KINDS, type TransportKind } from '../../config/transports/list.ts';
import type { RouteField } from '../../config/transports/transport.ts';
import { FieldError } from '../problem.ts';
import { count, filePath, group, list, oneOf, PRINTABLE, SECRETS_FOLDER, text } from './fields.ts';
import { type Failure, type Kind, type Others, ownedBy, type Source, tableOf } from './kind.ts';

const pattern = text('a domain, such as acme.com, or *. and a domain', {
  pattern: '^(\\*\\.)?[^\\s@\\[\\]/:*]+$',
  maxLength: 255,
  description: 'A domain, or `*.` and a domain for all domains below it.',
});

/** The fields of one transport, as the setting `routes` has them. */
function groupOf(kind: TransportKind): TSchema {
  const { route, declaredAs } = descriptionOf(kind);
  const fields = Object.entries(route).flatMap(([name, { format, declared }]) => {
    if (declared === null) return [];
    const field = fieldOf(format, declared);
    return [[name, declared.required ? field : Type.Optional(field)] as const];
  });
  return group(Object.fromEntries(fields), declaredAs);
}

type Declared = NonNullable<RouteField<unknown>['declared']>;

function fieldOf({ schema, expected }: RouteField<unknown>['format'], declared: Declared): TSchema {
  const { description, maxLength } = declared;
  if (declared.isFile) return filePath(SECRETS_FOLDER, description);
  if (Array.isArray(schema['enum'])) return oneOf(schema['enum'], description);
  if (schema['type'] === 'integer') {
    return count(declared.minimum ?? Number(schema['minimum']), Number(schema['maximum']), description);
  }
  return text(declared.expected ?? expected, {
    pattern: declared.pattern ?? PRINTABLE,
    ...(maxLength !== undefined && { maxLength }),
    description,
  });
}

const schema = group(
  {
    domains: Type.Optional(
      list(
        pattern,
        { maxItems: 1000 },
        'Sender domains that take this route. SendingDomains that name it in `route` take it too.',
      ),
    ),
    transport: oneOf(TRANSPORT_KINDS, 'What takes the messages.'),
    ...Object.fromEntries(TRANSPORT_KINDS.map(kind => [kind, Type.Optional(groupOf(kind))])),
  },
  'Which transport takes the messages of some sender domains.',
);

/** Values as they are written: of a text, or of a number. */
type Written<F> = { readonly [K in keyof F]?: F[K] extends string | undefined ? F[K] : string | number };

type Spec = {
  readonly domains?: readonly string[];
  readonly transport: TransportKind;
} & { readonly [K in TransportKind]?: Written<Overrides<K>> };

interface RouteRow {
  readonly name: string;
  readonly domains: readonly string[];
  readonly transport: string;
  /** The group of that transport, as written. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** Names that are taken by the configuration are not ours to give. */
const ROUTE_NAME = /^(?!default$)[a-z0-9.-]{1,64}$/;

function rowOf({ name, spec }: Source<Spec>): RouteRow {
  if (!ROUTE_NAME.test(name)) {
    throw new FieldError(['metadata', 'name'], 'cannot name a route', 'write 64 characters or less, and not default');
  }
  const { domains = [], transport, ...groups } = spec;
  const { needs } = descriptionOf(transport);
  if (needs && spec[transport] === undefined) {
    throw new FieldError(['spec', transport], 'is missing', `write the ${needs.what} as ${transport}.${needs.setting}`);
  }
  // The setting `routes` knows what the values may be. A route without domains has those that name it.
  const entry = { name, domains: domains.length > 0 ? domains : ['none.invalid'], transport, ...groups };
  try {
    const [parsed] = routesFormat.parse(JSON.stringify([entry]));
    const settings = groups[transport] ?? {};
    return { name, domains: domains.length > 0 ? (parsed?.domains ?? []) : [], transport, settings };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const why = error.message.replaceAll(/routes\[0\]\.?/g, '');
    throw new FieldError(['spec'], why, 'correct it as docs/configuration.md says of routes');
  }
}

/** A domain has one route. */
function checkAmong({ name, domains }: RouteRow, { claimed }: Others): void {
  for (const [index, domain] of domains.entries()) {
    const other = claimed.get(domain);
    if (other === undefined) continue;
    throw new FieldError(
      ['spec', 'domains', index],
      `is a domain of Route/${other} already`,
      'take it from one of them',
    );
  }
  for (const domain of domains) claimed.set(domain, name);
}

const DECLARED = `
  declared as (
    select * from jsonb_to_recordset($1::jsonb) as x (id uuid, name text, domains jsonb, transport text, settings jsonb)
  )`;

const SQL = {
  readOwned: `
    select o.document, o.owned_id, r.id is not null as there, r.name, r.domains, r.transport, r.settings
      from ${ownedBy('Route')} left join smtp_relay_routes r on r.id = o.owned_id`,

  findStanding: `
    select asked.position::integer, r.id
      from unnest($1::text[]) with ordinality as asked (name, position) join smtp_relay_routes r on r.name = asked.name`,

  insert: `
    with ${DECLARED}
    insert into smtp_relay_routes (id, name, domains, transport, settings)
    select id, name, domains, transport, settings from declared
    on conflict do nothing
    returning id`,

  update: `
    with ${DECLARED}
    update smtp_relay_routes r
       set name = d.name, domains = d.domains, transport = d.transport, settings = d.settings
      from declared d where r.id = d.id
    returning r.id`,

  remove: 'delete from smtp_relay_routes where id = any($1::uuid[])',
};

const OPENSEND_DELIVERS: Failure = {
  reason: 'NotBesideOpenSend',
  message: "OpenSend's own worker delivers, and knows no routes (pipeline opensend): remove this document.",
};

/** The messages of some sender domains, and the transport that takes them; as an entry of the setting `routes`. */
export const route: Kind<Spec, RouteRow> = {
  schema,
  fileOf(spec) {
    const own = spec[spec.transport] ?? {};
    const path = 'passwordFile' in own ? own.passwordFile : undefined;
    return path === undefined ? null : { folder: 'secrets', path, field: ['spec', spec.transport, 'passwordFile'] };
  },
  rowsOf: source => [rowOf(source)],
  checkAmong,
  table: ({ pipeline }) => ({
    ...tableOf<RouteRow>(SQL, rows => [rows.map(({ name }) => name)]),
    identityOf: ({ name }) => name,
    ...(pipeline === 'opensend' && { refusal: OPENSEND_DELIVERS }),
  }),
};
