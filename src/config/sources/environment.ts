import { port } from '../formats/format.ts';
import { nearest } from '../nearest.ts';
import { settings } from '../schema.ts';
import { CONFIG_VARIABLE, emptyReading, type Reading, SECRETS_VARIABLE } from './reading.ts';

/** What Kubernetes writes for a Service into each pod of its namespace, where the name is not a setting of ours. */
const SERVICE_LINK =
  /^SMTP_RELAY_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/;
const SERVICE_LINK_VALUE = /^(tcp|udp|sctp):\/\//;

/**
 * The environment without empty variables, which count as not set, and without what Kubernetes' service links put into
 * variables of ours: a Service named `smtp-relay` sets `SMTP_RELAY_PORT=tcp://10.0.0.1:2587` in every pod.
 *
 * @returns the variables that count, and a warning for each that was left out
 */
export function usableEnvironment(env: NodeJS.ProcessEnv): { variables: Map<string, string>; warnings: string[] } {
  const variables = new Map<string, string>();
  const warnings: string[] = [];
  const ports = new Set(settings.filter(({ format }) => format === port).map(({ env: name }) => name));
  for (const [name, text = ''] of Object.entries(env)) {
    if (ports.has(name) && SERVICE_LINK_VALUE.test(text)) {
      warnings.push(
        `${name}: ignored, because its value comes from Kubernetes' service links, not from you. ` +
          'Set enableServiceLinks: false in the pod, or set the port in a file.',
      );
    } else if (text !== '') {
      variables.set(name, text);
    }
  }
  return { variables, warnings };
}

/**
 * Reads the settings' variables, and warns of variables that begin with `SMTP_RELAY_` but mean nothing.
 *
 * @param env without empty variables
 */
export function readEnvironment(env: ReadonlyMap<string, string>): Reading {
  const reading = emptyReading();
  for (const { name, env: own, generalEnv: general = own } of settings) {
    const variable = env.has(own) ? own : general;
    const text = env.get(variable);
    if (text !== undefined) reading.candidates.push({ name, text, source: `env:${variable}` });
  }
  const names = settings.map(({ env: variable }) => variable);
  const known = new Set([CONFIG_VARIABLE, SECRETS_VARIABLE, ...names, ...names.map(name => `${name}_FILE`)]);
  for (const variable of env.keys()) {
    if (!variable.startsWith('SMTP_RELAY_') || known.has(variable) || SERVICE_LINK.test(variable)) continue;
    const suggestion = nearest(variable, [...known]);
    const hint = suggestion === undefined ? 'docs/configuration.md lists all of them.' : `Is ${suggestion} meant?`;
    reading.warnings.push(`${variable}: ignored, because there is no such setting. ${hint}`);
  }
  return reading;
}
