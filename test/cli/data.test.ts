import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { withClient } from '../support/postgres-server.ts';
import { cliFor } from './run-cli.ts';

/** The cells of a printed table, the title line first; columns stand at least two spaces apart. */
function cells(printed: string): string[][] {
  return printed
    .trimEnd()
    .split('\n')
    .map(line => line.split(/ {2,}/));
}

describe('smtp-relay keys', { concurrency: true }, () => {
  it('creates a key that works, lists it without the key, and revokes it', async t => {
    const url = await createDatabase(t);
    const cli = cliFor(url);
    const created = await cli.json('keys', 'create', '--owner', 'acme', '--name', 'shop', '--domain', 'ACME.test');
    assert.match(created.key, /^os_live_[0-9a-f]{32}$/);
    await withClient(url, async client => {
      const { rows } = await client.query(
        `select user_id, name, domain from api_keys where token_hash = encode(sha256(convert_to($1, 'utf8')), 'hex')`,
        [created.key],
      );
      assert.deepEqual(rows, [{ user_id: 'acme', name: 'shop', domain: 'acme.test' }]);
    });
    const listed = await cli.text('keys', 'list', '--owner', 'acme');
    assert.ok(!listed.includes(created.key));
    const preview = `${created.key.slice(0, 12)}…`;
    assert.deepEqual(cells(listed), [
      ['ID', 'KEY', 'OWNER', 'DOMAIN', 'PERMISSION', 'LAST USED', 'NAME'],
      [created.id, preview, 'acme', 'acme.test', 'sending_access', 'never', 'shop'],
    ]);
    const revoked = await cli.run('keys', 'revoke', 'shop');
    assert.equal(revoked.stdout, `Revoked ${preview} (shop) of acme.\n`);
    assert.match(revoked.stderr, /within 10 seconds/);
    assert.deepEqual(await cli.json('keys', 'list'), []);
  });

  it('prints the key once, alone on its line, for people', async t => {
    const cli = cliFor(await createDatabase(t));
    const { stdout, stderr, code } = await cli.run('keys', 'create', '--owner', 'acme');
    assert.equal(code, 0);
    assert.match(stdout, /^Key: +os_live_[0-9a-f]{32}$/m);
    assert.match(stderr, /cannot be shown again/);
  });

  it('takes a key over, but not twice', async t => {
    const cli = cliFor(await createDatabase(t));
    const args = ['keys', 'create', '--owner', 'acme', '--permission', 'full_access', '--key', 'os_live_mine'];
    assert.equal((await cli.json(...args)).key, 'os_live_mine');
    const again = await cli.run(...args);
    assert.deepEqual([again.code, again.stdout, again.stderr], [1, '', 'smtp-relay: this key exists already\n']);
  });

  it('says what is wrong: 1 for what is not there, 2 for wrong use', async t => {
    const cli = cliFor(await createDatabase(t));
    assert.equal((await cli.run('keys', 'revoke', 'nothing')).code, 1);
    assert.equal((await cli.run('keys', 'create')).code, 2);
    assert.equal((await cli.run('keys', 'create', '--owner', '')).code, 2);
    assert.equal((await cli.run('keys', 'create', '--owner', 'a', '--domain', 'no domain')).code, 2);
    assert.equal((await cli.run('keys', 'create', '--owner', 'a', '--permission', 'root')).code, 2);
  });
});

describe('smtp-relay suppressions', { concurrency: true }, () => {
  it('adds, lists and removes', async t => {
    const cli = cliFor(await createDatabase(t));
    const added = await cli.json('suppressions', 'add', 'Someone@Example.com', '--owner', 'acme');
    assert.deepEqual([added.email, added.reason, added.added], ['someone@example.com', 'manual', true]);
    assert.match(await cli.text('suppressions', 'add', 'someone@example.com', '--owner', 'acme'), /already \(manual\)/);
    const [head, row, ...rest] = cells(await cli.text('suppressions', 'list', '--owner', 'acme'));
    assert.deepEqual(head, ['OWNER', 'REASON', 'SINCE', 'EMAIL']);
    assert.deepEqual([row?.[0], row?.[1], row?.[3], rest], ['acme', 'manual', 'someone@example.com', []]);
    assert.match(await cli.text('suppressions', 'remove', 'someone@example.com', '--owner', 'acme'), /no longer/);
    assert.deepEqual(await cli.json('suppressions', 'list'), []);
    assert.equal((await cli.run('suppressions', 'remove', 'someone@example.com', '--owner', 'acme')).code, 1);
    assert.equal((await cli.run('suppressions', 'add', 'nobody', '--owner', 'acme')).code, 2);
    assert.equal((await cli.run('suppressions', 'add', 'a@b.example')).code, 2);
  });
});

describe('smtp-relay domains', { concurrency: true }, () => {
  it('adds, lists and removes', async t => {
    const cli = cliFor(await createDatabase(t));
    const added = await cli.json('domains', 'add', 'BÜCHER.example', '--owner', 'acme', '--region', 'eu-west-1');
    assert.deepEqual([added.name, added.region, added.added], ['xn--bcher-kva.example', 'eu-west-1', true]);
    assert.match(await cli.text('domains', 'add', 'bücher.example', '--owner', 'acme'), /already a domain of acme/);
    assert.deepEqual(cells(await cli.text('domains', 'list')), [
      ['ID', 'OWNER', 'STATUS', 'REGION', 'NAME'],
      [added.id, 'acme', 'not_started', 'eu-west-1', 'xn--bcher-kva.example'],
    ]);
    assert.match(
      await cli.text('domains', 'remove', 'bücher.example', '--owner', 'acme'),
      /no longer a domain of acme/,
    );
    assert.equal((await cli.run('domains', 'remove', 'bücher.example')).code, 1);
    assert.equal((await cli.run('domains', 'add', 'no domain', '--owner', 'acme')).code, 2);
  });
});

describe('smtp-relay emails', { concurrency: true }, () => {
  it('lists and shows, and lets no stranger steer the terminal', async t => {
    const url = await createDatabase(t);
    const cli = cliFor(url);
    const id = await withClient(url, async client => {
      const { rows } = await client.query(
        `insert into emails ("from", "to", subject, text, user_id)
         values ('=?UTF-8?B?SsO2cmc=?= <a@acme.test>', '["b@example.com", "c@example.com"]', $1, $2, 'acme') returning id`,
        ['red \u001b[31malert\u202e', 'line one\nline \u001b]0;two'],
      );
      return rows[0].id;
    });
    const list = await cli.text('emails', 'list', '--status', 'queued', '--since', '1h', '--owner', 'acme');
    assert.match(
      list,
      / {2}Jörg <a@acme\.test> {2}b@example\.com, c@example\.com {2}red \\u\{1b\}\[31malert\\u\{202e\}\n$/,
    );
    const shown = await cli.text('emails', 'show', id);
    assert.match(shown, /^Status: +queued$/m);
    assert.match(shown, /^From: +Jörg <a@acme\.test>$/m);
    assert.match(shown, /^To: +b@example\.com, c@example\.com$/m);
    assert.match(shown, /\nline one\nline \\u\{1b\}\]0;two\n$/);
    assert.equal((await cli.json('emails', 'show', id)).subject, 'red \u001b[31malert\u202e');
    assert.deepEqual(await cli.json('emails', 'list', '--status', 'sent'), []);
    assert.deepEqual(await cli.json('emails', 'list', '--message-id', '<1@acme.test>'), []);
    const remember = `insert into smtp_relay_message_ids (email_id, message_id) values ($1, '1@acme.test')`;
    await withClient(url, client => client.query(remember, [id]));
    const [found, ...others] = await cli.json('emails', 'list', '--message-id', '<1@acme.test>');
    assert.deepEqual([found.id, others], [id, []]);
  });

  it('says what is wrong', async t => {
    const cli = cliFor(await createDatabase(t));
    const missing = await cli.run('emails', 'show', '0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11');
    assert.deepEqual([missing.code, missing.stdout], [1, '']);
    assert.match(missing.stderr, /^smtp-relay: no message has the id "0b8f7a52-.*"; see: smtp-relay emails list\n$/);
    for (const wrong of [
      ['--since', 'yesterday'],
      ['--limit', '0'],
      ['--limit', '1e9'],
    ]) {
      assert.equal((await cli.run('emails', 'list', ...wrong)).code, 2, wrong.join(' '));
    }
  });
});
