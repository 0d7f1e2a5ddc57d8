import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { openPool } from '../support/pool.ts';
import { cliFor } from './run-cli.ts';

const INSERT_DOMAIN = 'insert into domains (id, name, user_id, status) values ($1, $2, $3, $4)';
const INSERT_KEY = 'insert into api_keys (id, name, token_hash, domain, user_id) values ($1, $2, $3, $4, $5)';

async function openSend(t: { after(fn: () => Promise<void>): void }) {
  const url = await createDatabase(t, { pipeline: 'opensend' });
  const db = openPool(url, 1);
  t.after(() => db.end());
  return {
    db,
    cli: cliFor(url),
    async domain(name: string, owner = 'acme', status = 'verified'): Promise<string> {
      const id = randomUUID();
      await db.query(INSERT_DOMAIN, [id, name, owner, status]);
      return id;
    },
    async key(name: string, domain: string | null, owner: string | null = 'acme'): Promise<string> {
      const id = randomUUID();
      await db.query(INSERT_KEY, [id, name, id, domain, owner]);
      return id;
    },
  };
}

describe("keys beside OpenSend, restricted by a domain's id", { concurrency: true }, () => {
  it("are listed and shown with the domain's name", async t => {
    const { cli, domain, key } = await openSend(t);
    const [acme, foreign, gone] = [await domain('Acme.test'), await domain('other.test', 'other'), randomUUID()];
    const wanted = [
      ['by id', acme, 'Acme.test', 'Acme.test', acme],
      ['by name', ' acme.test ', 'acme.test', 'acme.test', null],
      ['of another', foreign, 'a domain that no longer exists', null, foreign],
      ['gone', ` ${gone.toUpperCase()}`, 'a domain that no longer exists', null, gone],
      ['any', null, 'any', null, null],
    ] as const;
    for (const [name, restriction] of wanted) await key(name, restriction);
    const listed = await cli.json('keys', 'list');
    const table = await cli.text('keys', 'list');
    for (const [name, , shown, json, domainId] of wanted) {
      const found = listed.find((row: { name: string }) => row.name === name);
      assert.deepEqual([found.domain, found.domainId], [json, domainId], name);
      assert.match(table, new RegExp(`  ${shown}  .*  ${name}$`, 'm'));
      assert.match(await cli.text('keys', 'show', name), new RegExp(`^Domain: +${shown}$`, 'm'));
    }
    assert.ok(!table.includes(acme));
  });

  it('are shown by id, name, preview or themselves, with their limits and what declares them', async t => {
    const { cli, db, key } = await openSend(t);
    const id = await key('plain', null, null);
    assert.deepEqual(
      Object.fromEntries(
        (await cli.text('keys', 'show', id))
          .trim()
          .split('\n')
          .map(line => line.split(/: +/, 2)),
      ),
      {
        Id: id,
        Name: 'plain',
        Key: '-',
        Owner: 'nobody, so that it is not valid',
        Domain: 'any',
        Permission: 'full_access',
        State: 'active',
        Created: (await db.query('select created_at from api_keys')).rows[0].created_at.toISOString(),
        'Last used': 'never',
        Limits: 'as configured',
        'Declared by': 'no document',
      },
    );
    const made = await cli.json('keys', 'create', '--owner', 'acme', '--name', 'shop');
    await db.query('insert into smtp_relay_credentials values ($1, \'{"messagesPerDay": 5}\')', [made.id]);
    await db.query(
      `insert into smtp_relay_declared (kind, name, hash, ready, reason, message, owned)
       values ('SmtpCredential', 'shop-server', '', true, 'Applied', '', array[$1::uuid])`,
      [made.id],
    );
    for (const reference of [made.id, 'shop', made.preview, made.key]) {
      const shown = await cli.json('keys', 'show', reference);
      assert.deepEqual([shown.id, shown.limits, shown.declaredBy], [made.id, { messagesPerDay: 5 }, 'shop-server']);
      assert.ok(!JSON.stringify(shown).includes(made.key));
    }
    const missing = await cli.run('keys', 'show', 'nothing');
    assert.deepEqual(
      [missing.code, missing.stderr],
      [1, 'smtp-relay: no key has this id, name or preview, or is this one; see: smtp-relay keys list\n'],
    );
  });
});

describe('smtp-relay keys create --domain', { concurrency: true }, () => {
  const create = ['keys', 'create', '--owner', 'acme', '--domain'];

  it("beside OpenSend stores the id of the owner's domain, as its dashboard does", async t => {
    const { cli, db, domain } = await openSend(t);
    await domain('acme.test', 'other');
    await domain('acme.test', 'acme', 'pending');
    const id = await domain('ACME.test');
    const german = await domain('bücher.test', 'acme', 'not_started');
    for (const [name, stored, shown] of [
      ['Acme.Test', id, 'ACME.test'],
      ['xn--bcher-kva.test', german, 'bücher.test'],
    ] as const) {
      const made = await cli.json(...create, name);
      assert.deepEqual([made.domain, made.domainId], [shown, stored]);
      const { rows } = await db.query('select domain from api_keys where id = $1', [made.id]);
      assert.equal(rows[0].domain, stored);
    }
  });

  it("beside OpenSend refuses a domain that is none of the owner's, and says where to add it", async t => {
    const { cli, db, domain } = await openSend(t);
    await domain('acme.test', 'other');
    const { code, stderr } = await cli.run(...create, 'acme.test');
    const text = "smtp-relay: acme.test is no domain of acme: add it in OpenSend's dashboard first\n";
    assert.deepEqual([code, stderr, (await db.query('select from api_keys')).rowCount], [1, text, 0]);
  });

  it("takes the id of one of the owner's domains as well", async t => {
    const { cli, domain } = await openSend(t);
    const id = await domain('acme.test');
    assert.equal((await cli.json(...create, ` ${id.toUpperCase()}`)).domain, 'acme.test');
    for (const other of [await domain('acme.test', 'other'), randomUUID()]) {
      const { code, stderr } = await cli.run(...create, other);
      assert.deepEqual([code, stderr], [1, `smtp-relay: ${other} is the id of no domain of acme\n`]);
    }
  });

  it('stores the name standalone, with and without such a domain', async t => {
    const cli = cliFor(await createDatabase(t));
    assert.equal((await cli.json(...create, 'Acme.test')).domain, 'acme.test');
    await cli.text('domains', 'add', 'acme.test', '--owner', 'acme');
    const made = await cli.json(...create, 'acme.test');
    assert.deepEqual([made.domain, made.domainId], ['acme.test', null]);
  });

  it('goes by what is configured where nothing is recorded', async t => {
    const { cli, db, domain } = await openSend(t);
    await db.query('delete from smtp_relay_settings');
    const id = await domain('acme.test');
    assert.equal((await cli.json(...create, 'acme.test')).domainId, id);
  });
});
