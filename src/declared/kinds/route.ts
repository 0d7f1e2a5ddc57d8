import Type, { type TSchema } from 'typebox';
import { descriptionOf, type Overrides, TRANSPORT_KINDS, type TransportKind } from '../../config/transports/list.ts';
import type { RouteField } from '../../config/transports/transport.ts';
import { count, filePath, group, list, oneOf, PRINTABLE, SECRETS_FOLDER, text } from './fields.ts';

const pattern = text('a domain, such as acme.com, or *. and a domain', {
  pattern: '^(\\*\\.)?[^\\s@\\[\\]/:*]+$',
  maxLength: 255,
  description: 'A domain, or `*.` and a domain for all domains below it.',
});

/** What a route has of its own, as the setting `routes` has it. */
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

/** The messages of some sender domains, and the transport that takes them; as an entry of the setting `routes`. */
export const route = group(
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

export type RouteSpec = {
  readonly domains?: readonly string[];
  readonly transport: TransportKind;
} & { readonly [K in TransportKind]?: Written<Overrides<K>> };
