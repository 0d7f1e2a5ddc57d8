import { type Command, InvalidArgumentError } from 'commander';
import { loadConfig } from '../config/load.ts';
import { findWebhook, readSecrets, replaceSecrets, rotateSecret } from '../store/webhooks.ts';
import { createSecretBox, newSecret, type SecretBox } from '../webhooks/secret-box.ts';
import type { CliContext } from './context.ts';
import { withDatabase } from './database.ts';
import { examples, type JsonOptions, jsonOption } from './options.ts';
import { details, note, print } from './output.ts';

/** Said wherever a secret is printed. */
export const KEEP_SECRET = 'Keep the secret now: it is stored encrypted, and cannot be shown again.';

const DEFAULT_OVERLAP = 24 * 60 * 60 * 1000;
const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

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
        const rekeyed = await withDatabase(context, async pool => {
          const stored = await readSecrets(pool);
          for (const read of stored) {
            const again = (sealed: string | null) => sealed && box.seal(box.open(sealed, read.id), read.id);
            await replaceSecrets(pool, read, { ...read, current: again(read.current), previous: again(read.previous) });
          }
          return stored.length;
        });
        print(context, options, { rekeyed }, `Encrypted the secrets of ${rekeyed} webhooks anew.\n`);
      }),
    'webhooks rekey',
  );
}

function parseOverlap(text: string): number {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (!amount || !unit) throw new InvalidArgumentError('It must be a time such as 0s, 15m, 24h, 7d.');
  return Number(amount) * (UNITS[unit] ?? 0);
}
