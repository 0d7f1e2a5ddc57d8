import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { port } from '../formats/format.ts';
import { nearest } from '../problem.ts';
import { type NamedSetting, settings } from '../schema.ts';
import {
  CONFIG_VARIABLE,
  emptyReading,
  messageOf,
  type Reading,
  readText,
  SECRETS_VARIABLE,
  whyUnreadable,
} from './reading.ts';

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

/** How variables are named; files of other names are somebody else's, such as the key files of declared resources. */
const VARIABLE = /^[A-Z][A-Z0-9_]*$/;

/**
 * Reads the directory of secret files: each file is named like the environment variable that it stands for. Files that
 * name no setting are left out, and warned of where they are named like a variable, or would be in capitals.
 *
 * @param directory what `SMTP_RELAY_SECRETS_DIR` says; undefined where it is not set
 */
export function readSecretsDirectory(directory: string | undefined): Reading {
  const reading = emptyReading();
  if (directory === undefined) return reading;
  const byEnv = new Map(settings.map(setting => [setting.env, setting]));
  const strangers: string[] = [];
  for (const file of listDirectory(directory, reading)) {
    const path = join(directory, file);
    const setting = byEnv.get(file);
    if (setting) readSecret(setting, path, `a readable file in ${directory}`, reading);
    else if ((VARIABLE.test(file) || byEnv.has(file.toUpperCase())) && !isDirectory(path)) strangers.push(file);
  }
  if (strangers.length > 0) {
    const files = strangers.join(', ');
    reading.warnings.push(`${SECRETS_VARIABLE}: no setting has the name of these files in ${directory}: ${files}.`);
  }
  return reading;
}

function listDirectory(directory: string, reading: Reading): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    const notDirectory = (error as NodeJS.ErrnoException).code === 'ENOTDIR';
    reading.problems.push({
      setting: SECRETS_VARIABLE,
      source: `env:${SECRETS_VARIABLE}`,
      why: `${directory} ${notDirectory ? 'is not a directory' : whyUnreadable(error)}`,
      fix: `mount the directory there, correct ${SECRETS_VARIABLE}, or unset it`,
    });
    return [];
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/**
 * Reads the files that `NAME_FILE` variables point at, one for each variable `NAME`.
 *
 * @param env without empty variables
 */
export function readNamedFiles(env: ReadonlyMap<string, string>): Reading {
  const reading = emptyReading();
  for (const setting of settings) {
    const variable = `${setting.env}_FILE`;
    const path = env.get(variable);
    if (path === undefined) continue;
    if (env.has(setting.env)) {
      reading.problems.push({
        setting: setting.name,
        source: `env:${variable}`,
        why: `${setting.env} and ${variable} are both set`,
        fix: 'unset one of them',
      });
    }
    readSecret(setting, path, `a readable file and name it in ${variable}`, reading);
  }
  return reading;
}

function readSecret({ name }: NamedSetting, path: string, wanted: string, reading: Reading): void {
  const source = `secret:${path}`;
  try {
    const text = readText(path).replace(/[\r\n]+$/, '');
    if (text === '') reading.warnings.push(`${name}: the file ${path} is empty, as if it were not there.`);
    else reading.candidates.push({ name, text, source });
  } catch (error) {
    reading.problems.push({ setting: name, source, why: `the file ${messageOf(error)}`, fix: `make it ${wanted}` });
  }
}
