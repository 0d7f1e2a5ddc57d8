import { settings } from '../../src/config/schema.ts';
import type { Schema } from './values-schema.ts';

/** What the chart decides by values of its own, so that it cannot stand in `config`; templates/validate.yaml says by which. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  'databaseUrl',
  'migrationsDatabaseUrl',
  'migrations',
  'tls.certPath',
  'tls.keyPath',
  'database.password',
  'smtp.password',
  'tracking.secrets',
  'webhooks.secretKeys',
]);

/** The settings of the program as values of the chart: nested as in its files, each with what it may be. */
export function configSchema(): Schema {
  const root: Schema = { type: 'object', properties: {}, additionalProperties: false };
  for (const { name, format, doc } of settings) {
    const path = name.split('.');
    let group = root;
    for (const key of path.slice(0, -1)) {
      const properties = group['properties'] as Schema;
      properties[key] ??= { type: 'object', properties: {}, additionalProperties: false };
      group = properties[key] as Schema;
    }
    // The template says what to set in its place, which the schema could not.
    const schema = ELSEWHERE.has(name) ? {} : schemaOf(format.expected);
    (group['properties'] as Schema)[path.at(-1) ?? name] = { description: doc, ...schema };
  }
  return root;
}

const NUMBER = /^a whole number(?: from (\d+) to (\d+)|, (\d+) or more)?$/;

/** By what the program tells users to write. */
function schemaOf(expected: string): Schema {
  const number = NUMBER.exec(expected);
  if (number) {
    const [, from, to, least] = number;
    return { type: 'integer', minimum: Number(from ?? least ?? 0), ...(to && { maximum: Number(to) }) };
  }
  if (expected.startsWith('a port number')) return { type: 'integer', minimum: 0, maximum: 65_535 };
  if (expected === 'true or false') return { type: 'boolean' };
  if (expected.startsWith('a size in bytes')) {
    return {
      anyOf: [
        { type: 'integer', minimum: 0 },
        { type: 'string', pattern: '^[0-9]+(KiB|MiB|GiB)?$' },
      ],
    };
  }
  if (expected.endsWith('or forever')) return { type: 'string', pattern: '^([1-9][0-9]*(s|m|h|d)|forever)$' };
  if (expected.startsWith('a whole number with its unit')) return { type: 'string', pattern: '^[0-9]+(ms|s|m|h)$' };
  if (/^an http or https URL/.test(expected)) return { type: 'string', pattern: '^(https?://[^\\s/]+\\S*)?$' };
  if (expected.startsWith('the name of an AWS region'))
    return { type: 'string', pattern: '^([a-z]{2}(-[a-z]+)+-[0-9]+)?$' };
  if (/^(a host name|an IP address or a host name)/.test(expected)) return { type: 'string', pattern: HOST };
  if (expected.startsWith('the ARN of')) return { type: 'string', pattern: '^(arn:[^\\s]+)?$' };
  if (expected.startsWith('the name of a configuration set')) return { type: 'string', pattern: '^[A-Za-z0-9_-]*$' };
  if (expected.startsWith('networks in CIDR')) return listOf('^([0-9.]+|[0-9a-fA-F:.]+:[0-9a-fA-F:.]*)(/[0-9]{1,3})?$');
  if (expected.startsWith('network=key-id')) return listOf('^[0-9a-fA-F:.]+(/[0-9]{1,3})?=\\S+$');
  if (expected.startsWith('addresses or domains')) return listOf('^(\\S+@)?(\\*\\.)?[^\\s@/]+$');
  if (expected.startsWith('ARNs of')) return listOf('^arn:\\S+$');
  if (expected.startsWith('a list of routes')) return { type: 'array', items: ROUTE };
  if (expected.includes('separated by commas')) return { type: ['array', 'string'], items: { type: 'string' } };
  if (/^[\w-]+(, [\w-]+)* or [\w-]+$/.test(expected))
    return { enum: ['', ...expected.split(/, | or /)].filter(keep(expected)) };
  return { type: 'string' };
}

/** The program knows the rest, and says it at the start. */
const ROUTE: Schema = {
  type: 'object',
  properties: {
    domains: { type: 'array', items: { type: 'string', minLength: 1 }, minItems: 1 },
    transport: { enum: ['ses', 'smtp', 'capture'] },
  },
  required: ['domains', 'transport'],
};

/** A name or an address without a port, brackets or a scheme. */
const HOST = '^(/\\S+|[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\\.?|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)?$';

/** As a list, or as a text with commas. */
function listOf(pattern: string): Schema {
  return { anyOf: [{ type: 'array', items: { type: 'string', pattern } }, { type: 'string' }] };
}

/** An empty word is as good as none only where the setting may be empty. */
function keep(expected: string): (word: string) => boolean {
  return word => word !== '' || expected.startsWith('disable');
}
