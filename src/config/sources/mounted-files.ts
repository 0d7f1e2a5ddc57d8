import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { settings } from '../schema.ts';
import { usableEnvironment } from './environment.ts';
import { isConfigFile } from './files.ts';
import { CONFIG_VARIABLE, SECRETS_VARIABLE } from './reading.ts';

/** The files that a configuration is read from. */
export interface MountedFiles {
  /** Their folders, as far as they are known from the environment. */
  readonly folders: readonly string[];
  /** Another text as soon as any of the files is another one, by content. A missing file has one, too. */
  fingerprint(): Promise<string>;
}

/** The files that this environment names; none is possible. */
export async function findMountedFiles(env: NodeJS.ProcessEnv): Promise<MountedFiles> {
  const { variables } = usableEnvironment(env);
  const config = variables.get(CONFIG_VARIABLE);
  const secrets = variables.get(SECRETS_VARIABLE);
  const named = settings.flatMap(setting => variables.get(`${setting.env}_FILE`) ?? []);
  const folders = [
    ...(config === undefined ? [] : [(await isDirectory(config)) ? config : dirname(config)]),
    ...(secrets === undefined ? [] : [secrets]),
    ...named.map(path => dirname(path)),
  ];

  async function listFiles(): Promise<string[]> {
    const lists = await Promise.all([
      config === undefined ? [] : listIn(config, isConfigFile, config),
      secrets === undefined ? [] : listIn(secrets, name => SECRET_NAMES.has(name), null),
      named,
    ]);
    return lists.flat();
  }

  return { folders: [...new Set(folders)], fingerprint: async () => hashOf(await listFiles()) };
}

const SECRET_NAMES: ReadonlySet<string> = new Set(settings.map(({ env }) => env));

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    found => found.isDirectory(),
    () => false,
  );
}

/** @param otherwise what stands for a path that is no directory; null for nothing */
async function listIn(
  path: string,
  isWanted: (name: string) => boolean,
  otherwise: string | null,
): Promise<readonly string[]> {
  const names = await readdir(path).catch(() => null);
  if (names === null) return otherwise === null ? [] : [otherwise];
  return names
    .filter(isWanted)
    .sort()
    .map(name => join(path, name));
}

async function hashOf(paths: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const path of paths) {
    const content = await readFile(path).catch((error: NodeJS.ErrnoException) => error.code ?? 'unreadable');
    hash.update(`${path}\0${content.length}\0`).update(content);
  }
  return hash.digest('base64');
}
