import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { needs } from '../support/needs.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { CLIENTS } from './clients/clients.ts';
import { ROOT } from './documents.ts';

const GUIDE = await readFile(join(ROOT, 'docs/clients.md'), 'utf8');
const KEY = 'os_live_xxxxxxxxxxxx';
const DOMAIN = 'yourdomain.com';
/** Where a system keeps the authorities that it trusts, as the guide names it. */
const SYSTEM_CA = '/etc/ssl/certs/ca-certificates.crt';

interface Section {
  readonly name: string;
  readonly text: string;
  /** What stands in its fenced block. */
  readonly block: string;
}

function readSections(): Section[] {
  return GUIDE.split(/^## /m)
    .slice(1)
    .map(part => {
      const [name = ''] = part.split('\n', 1);
      return { name, text: part, block: /^```\w+\n([\s\S]*?)^```$/m.exec(part)?.[1] ?? '' };
    });
}

const sections = readSections();

function blockOf(name: string, relay: TestRelay): string {
  const section = sections.find(each => each.name === name);
  assert.ok(section?.block, `docs/clients.md has a block for ${name}`);
  const { block } = section;
  return block
    .replaceAll(`smtp.${DOMAIN}`, relay.host)
    .replaceAll('2587', String(relay.port))
    .replaceAll(KEY, relay.owner.apiKey)
    .replaceAll(SYSTEM_CA, relay.certificate?.caPath ?? '')
    .replace('--tls-verify', `--tls-verify --tls-ca-path ${relay.certificate?.caPath}`);
}

describe('clients of docs/clients.md', { concurrency: 1 }, () => {
  const parts = new AsyncDisposableStack();
  let relay: TestRelay;
  let folder: string;

  before(async () => {
    relay = await startRelay({ after: fn => parts.defer(fn) }, { owner: { domain: DOMAIN }, queue: false });
    folder = await mkdtemp(join(tmpdir(), 'smtp-relay-clients-'));
    parts.defer(() => rm(folder, { recursive: true, force: true }));
  });
  after(() => parts.disposeAsync());

  for (const client of CLIENTS) {
    it(`${client.name} sends by what its section says`, { skip: needs(...client.needs) }, async () => {
      const [command, ...args] = await client.command(blockOf(client.name, relay), {
        folder,
        key: relay.owner.apiKey,
        caPath: relay.certificate?.caPath ?? '',
      });
      const ca = relay.certificate?.caPath ?? '';
      const child = spawn(command, args, {
        cwd: ROOT,
        // The authority of the relay's certificate, as a system would trust it.
        env: { ...env, NODE_EXTRA_CA_CERTS: ca, SSL_CERT_FILE: ca },
        timeout: 900_000,
      });
      child.stdin.end(client.stdin ?? '');
      const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
      assert.equal(code, 0, `${out}${err}`);
      const { rows } = await relay.db.query('select "from", "to", text from emails where subject = $1', [
        `Hello from ${client.name}`,
      ]);
      assert.equal(rows.length, 1, `${out}${err}`);
      assert.match(rows[0].from, /hello@yourdomain\.com/);
      assert.deepEqual(rows[0].to, ['recipient@example.com']);
      assert.equal(rows[0].text.trim(), 'Sent via SMTP relay');
    });
  }
});

describe('docs/clients.md', () => {
  it('says "Run" of the clients that are run here, and of no others', () => {
    const run = sections.filter(({ text: prose }) => /^\*\*Run\b/m.test(prose)).map(({ name }) => name);
    assert.deepEqual(run.toSorted(), CLIENTS.map(({ name }) => name).toSorted());
  });

  it('has in every block the relay and the key, and no other host', () => {
    for (const { name, block } of sections.filter(section => section.block !== '')) {
      assert.match(block, /smtp\.yourdomain\.com/, name);
      assert.match(block, /os_live_xxxxxxxxxxxx|RELAY_API_KEY/, name);
      assert.match(block, /2587/, name);
    }
  });
});
