import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { loadConfig } from '../../config/load.ts';
import { StoreError } from '../../postgres/errors.ts';
import type { CliContext } from '../context.ts';

export interface PathOptions {
  /** The folder of secrets. */
  readonly secrets?: string;
}

export interface Sources {
  /** Of files and folders with documents. */
  readonly paths: readonly string[];
  readonly folders: { readonly documents: string; readonly secrets: string };
}

/** Where documents and the files that they name are: as asked for, or as configured. @throws StoreError where nobody says */
export async function sourcesOf(context: CliContext, paths: readonly string[], options: PathOptions): Promise<Sources> {
  const [first] = paths;
  // Pipelines that check documents have no configuration.
  const isComplete = first !== undefined && options.secrets !== undefined;
  const configured = isComplete
    ? null
    : loadConfig(context.env, { checkTlsFiles: false, require: [] }).config.resources;
  const from = first ?? configured?.directory ?? '';
  if (from === '') {
    throw new StoreError(
      'invalid',
      'name files or folders, or set resources.directory (SMTP_RELAY_RESOURCES_DIRECTORY)',
    );
  }
  const documents = (await isFolder(from)) ? from : dirname(from);
  const secrets = options.secrets ?? (configured?.secretsDirectory || documents);
  return { paths: first === undefined ? [from] : paths, folders: { documents, secrets } };
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    found => found.isDirectory(),
    () => true,
  );
}
