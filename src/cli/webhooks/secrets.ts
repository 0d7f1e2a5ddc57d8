import { type Command, InvalidArgumentError } from 'commander';
import { loadConfig } from '../../config/load.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { findWebhook, readSecrets, replaceSecrets, rotateSecret } from '../../store/webhooks/webhooks.ts';
import { createSecretBox, newSecret, type SecretBox, SecretError } from '../../webhooks/signing.ts';
import {
  type CliContext,
  details,
  examples,
  type JsonOptions,
  jsonOption,
  note,
  parseSpan,
  print,
} from '../command.ts';
import { withDatabase } from '../database.ts';

/** Said wherever a secret is printed. */
export const KEEP_SECRET = 'Keep the secret now: it is stored encrypted, and cannot be shown again.';

const DEFAULT_OVERLAP = 24 * 60 * 60 * 1000;

/** `webhooks rotate` and `webhooks rekey`. */
export function addSecretsCommands(webhooks: Command, context: CliContext): void {
  addRotate(webhooks, context);
  addRekey(webhooks, context);
}

/** What encrypts and decrypts signing secrets, by the configuration. */
export function secretBox(context: CliContext): SecretBox {
  return createSecretBox(loadConfig(context.env, { checkTlsFiles: false }).config.webhooks.secretKeys);
}

function addRotate(webhooks: Command, context: CliContext): void {
  examples(
    webhooks
      .command('rotate')
      .description('Give an endpoint a new signing secret, and print it, this once')
      .argument('<id>', 'as listed')
      .option(
        '--overlap <time>',
        'how long the old secret signs too, such as 0s, 15m, 24h, 7d',
        parseOverlap,
        DEFAULT_OVERLAP,
      )
      .addOption(jsonOption())
      .action(async (id: string, options: JsonOptions & { overlap: number }) => {
        const box = secretBox(context);
        const secret = newSecret();
        const row = await withDatabase(context, async pool => {
          const { id: found } = await findWebhook(pool, id);
          const [current] = await readSecrets(pool, found);
          if (current) await rotateSecret(pool, current, box.seal(secret, found), options.overlap);
          return findWebhook(pool, found);
        });
        const until = row.previousSecretUntil ?? 'the old secret is out of use';
        print(
          context,
          options,
          { ...row, secret },
          details([
            ['Secret', secret],
            ['Id', row.id],
            ['Both sign until', until],
          ]),
        );
        note(context, options, KEEP_SECRET);
      }),
    'webhooks rotate 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11',
    'webhooks rotate 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11 --overlap 7d',
  );
}

function addRekey(webhooks: Command, context: CliContext): void {
  examples(
    webhooks
      .command('rekey')
      .description(
        'Encrypt all signing secrets anew with the first of webhooks.secretKeys, so that older keys can be removed',
      )
      .addOption(jsonOption())
      .action(async (options: JsonOptions) => {
        const box = secretBox(context);
        const { rekeyed, unreadable } = await withDatabase(context, pool => rekey(pool, box));
        print(context, options, { rekeyed, unreadable }, `Encrypted the secrets of ${rekeyed} webhooks anew.\n`);
        if (unreadable.length === 0) return;
        note(
          context,
          options,
          `No key of webhooks.secretKeys reads those of ${unreadable.join(', ')}: they stay as they are.`,
        );
        note(context, options, 'Such webhooks need new ones: smtp-relay webhooks rotate');
      }),
    'webhooks rekey',
  );
}

/** What another program wrote, or was encrypted with a key that is not here, is left as it is. */
async function rekey(pool: Queryable, box: SecretBox): Promise<{ rekeyed: number; unreadable: string[] }> {
  const unreadable: string[] = [];
  const stored = await readSecrets(pool);
  for (const read of stored) {
    const [current, previous] = [read.current, read.previous].map(sealed => sealed && sealAgain(box, sealed, read.id));
    if (read.current && !current) unreadable.push(read.id);
    else
      await replaceSecrets(pool, read, { id: read.id, current: current ?? null, previous: previous ?? read.previous });
  }
  return { rekeyed: stored.length - unreadable.length, unreadable };
}

/** null where it cannot be read. */
function sealAgain(box: SecretBox, sealed: string, webhookId: string): string | null {
  let secret: string;
  try {
    secret = box.open(sealed, webhookId);
  } catch (error) {
    if (error instanceof SecretError) return null;
    throw error;
  }
  return box.seal(secret, webhookId);
}

function parseOverlap(text: string): number {
  const overlap = parseSpan(text);
  if (overlap === null) throw new InvalidArgumentError('It must be a time such as 0s, 15m, 24h, 7d.');
  return overlap;
}
