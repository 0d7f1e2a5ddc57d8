import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CONFIG_VARIABLE, emptyReading, messageOf, type Reading, readText, whyUnreadable } from './reading.ts';
import { readYaml } from './yaml.ts';

/**
 * Reads the YAML files: one file, or all `*.yaml` and `*.yml` of a directory in the order of their names, where a later
 * file wins over an earlier one. Names that begin with a dot are left out: Kubernetes keeps `..data` there.
 *
 * @param path what `SMTP_RELAY_CONFIG` says; undefined where it is not set
 */
export function readConfigFiles(path: string | undefined): Reading {
  const reading = emptyReading();
  if (path === undefined) return reading;
  const files = findFiles(path, reading);
  for (const file of files) readFile(file, reading);
  return reading;
}

function findFiles(path: string, reading: Reading): string[] {
  try {
    const files = yamlFiles(path);
    if (files.length === 0) {
      reading.warnings.push(
        `${CONFIG_VARIABLE}: the directory ${path} holds no *.yaml or *.yml file; nothing was read from it.`,
      );
    }
    return files;
  } catch (error) {
    reading.problems.push({
      setting: CONFIG_VARIABLE,
      source: `env:${CONFIG_VARIABLE}`,
      why: `${path} ${whyUnreadable(error)}`,
      fix: `mount the file or directory there, correct ${CONFIG_VARIABLE}, or unset it`,
    });
    return [];
  }
}

/** Whether a file of the directory is read, by its name. */
export function isConfigFile(name: string): boolean {
  return /^[^.].*\.ya?ml$/.test(name);
}

function yamlFiles(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path)
    .filter(isConfigFile)
    .sort()
    .map(name => join(path, name));
}

function readFile(path: string, reading: Reading): void {
  let text: string;
  try {
    text = readText(path);
  } catch (error) {
    reading.problems.push({
      setting: CONFIG_VARIABLE,
      source: `file:${path}`,
      why: `the file ${messageOf(error)}`,
      fix: 'make it a readable YAML file, or remove it',
    });
    return;
  }
  readYaml(path, text, reading);
}
