/** Measures how long it takes to bring about what many documents declare; see README.md beside this file. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { createTables } from '../src/declared/kinds/kinds.ts';
import { API_GROUP, API_VERSION } from '../src/declared/kinds/schema.ts';
import { createDeclarationReader } from '../src/declared/plan/declarations.ts';
import { reconcile } from '../src/declared/reconcile.ts';
import { takeLease } from '../src/postgres/lease.ts';
import { createSecretBox } from '../src/webhooks/signing.ts';
import { startSystem } from './support/system.ts';

const HELP = 'node bin/node24.js bench/resources.ts [--objects 10000]';

const { values } = parseArgs({
  options: {
    objects: { type: 'string', default: '10000' },
    help: { type: 'boolean', default: false },
  },
});

const FILES = 20;
const SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;

/** Of ten objects: four credentials (half of them with a file), three domains, one list, one endpoint and one route. */
function spec(index: number): readonly [kind: string, spec: Record<string, unknown>] {
  const owner = `tenant-${index % 500}`;
  const keyHash = createHash('sha256').update(`key ${index}`).digest('hex');
  switch (index % 10) {
    case 0:
    case 1:
      return ['SmtpCredential', { owner, domain: `d${index}.test`, keyHash, limits: { messagesPerDay: 1000 } }];
    case 2:
    case 3:
      return ['SmtpCredential', { owner, keyFile: `key-${index}` }];
    case 7:
      return ['SuppressionList', { owner, addresses: [0, 1, 2].map(entry => `gone-${index}-${entry}@example.com`) }];
    case 8:
      return ['WebhookEndpoint', { owner, url: `https://d${index}.test/hook`, secretFile: `hook-${index}` }];
    case 9:
      return ['Route', { transport: 'ses', domains: [`r${index}.test`], ses: { region: 'eu-central-1' } }];
    default:
      return ['SendingDomain', { owner, name: `d${index}.test`, tracking: { opens: true } }];
  }
}

async function writeDocuments(documents: string, secrets: string, count: number, change = ''): Promise<void> {
  const files = Array.from({ length: FILES }, () => '');
  for (let index = 0; index < count; index++) {
    const [kind, fields] = spec(index);
    const lines = Object.entries(fields).map(([name, value]) => `  ${name}: ${JSON.stringify(value)}\n`);
    const head = `apiVersion: ${API_GROUP}/${API_VERSION}\nkind: ${kind}\nmetadata:\n  name: object-${index}\nspec:\n`;
    files[index % FILES] += `---\n${head}${lines.join('')}`;
    if ('keyFile' in fields) await writeFile(join(secrets, `key-${index}`), `a key of its own ${index} ${change}\n`);
    if ('secretFile' in fields) await writeFile(join(secrets, `hook-${index}`), SECRET);
  }
  await Promise.all(files.map((text, index) => writeFile(join(documents, `${index}.yaml`), text)));
}

async function main(count: number): Promise<void> {
  const system = await startSystem();
  try {
    await measureAll((await system.prepare('resources', 'standalone')).databaseUrl, count);
  } finally {
    await system.stop();
  }
}

async function measureAll(databaseUrl: string, count: number): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'smtp-relay-bench-'));
  const [documents, secrets] = [join(directory, 'documents'), join(directory, 'secrets')];
  await Promise.all([mkdir(documents), mkdir(secrets)]);
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 2 });
  const read = createDeclarationReader();
  const parts = {
    pool,
    tables: createTables({ box: createSecretBox([Buffer.alloc(32).toString('base64')]) }),
    holder: 'bench',
    allowEmpty: false,
  };
  await takeLease(pool, parts.holder, 3_600_000);

  async function measure(what: string): Promise<void> {
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const cpu = process.cpuUsage();
    const begun = performance.now();
    const declarations = await read([documents], { documents, secrets });
    const wasRead = performance.now();
    const { changes, written } = await reconcile(declarations, parts);
    const ended = performance.now();
    const { user, system } = process.cpuUsage(cpu);
    delay.disable();
    const seconds = (from: number, to: number): string => ((to - from) / 1000).toFixed(2);
    const blocked = (delay.max / 1e6).toFixed(0);
    process.stdout.write(
      `${what}: ${seconds(begun, ended)} s (${seconds(begun, wasRead)} s of it reading; CPU ${((user + system) / 1e6).toFixed(2)} s), ` +
        `${JSON.stringify(changes)}, ` +
        `${written.length} written, event loop blocked for ${blocked} ms at most\n`,
    );
  }

  try {
    await writeDocuments(documents, secrets, count);
    await measure('first pass');
    await pool.query('analyze');
    await measure('no change');
    await measure('no change');
    await writeDocuments(documents, secrets, count, 'rotated');
    await measure('a fifth of the keys rotated');
    await rm(documents, { recursive: true });
    await mkdir(documents);
    await measure('all removed');
  } finally {
    await pool.end();
    await rm(directory, { recursive: true });
  }
}

if (values.help) process.stdout.write(`${HELP}\n`);
else await main(Number(values.objects));
