import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { RefusedSubjects, SessionStory } from '../../src/http/sessions/contract.ts';
import type { SandboxKey } from '../../src/inbox/keys-contract.ts';
import { createKey } from '../../src/store/keys/api-keys.ts';
import { startSmarthost } from '../delivery/support/smarthost.ts';
import { eventually } from '../support/eventually.ts';
import { needs } from '../support/needs.ts';
import { SmtpClient } from '../support/smtp-client.ts';
import { axeProblems } from './axe.ts';
import { startBrowser } from './browser.ts';
import { startInbox, type TestInbox } from './inbox.ts';

const AXE = fileURLToPath(import.meta.resolve('axe-core/axe.min.js'));

const staging = ({ relay }: TestInbox) =>
  createKey(relay.db, { owner: relay.owner.userId, name: 'Staging app', sandbox: true });

function sent(method: string, json?: unknown): RequestInit {
  if (json === undefined) return { method };
  return { method, body: JSON.stringify(json), headers: { 'content-type': 'application/json' } };
}

describe('chaos from the inbox', () => {
  it('is set, shown, and ends by itself or by hand', async t => {
    const inbox = await startInbox(t);
    const { id, key } = await staging(inbox);
    const shown = async () =>
      (await inbox.ask<SandboxKey[]>('/api/chaos')).map(({ says, until }) => [says, until !== null]);
    assert.deepEqual(await shown(), [[[], false]]);
    const chaos = { replies: [{ stage: 'MAIL', code: 451, percent: 100 }], cutPercent: 5 };
    const set = await inbox.ask<SandboxKey>(`/api/chaos/${id}`, sent('PUT', { chaos, seconds: 3_600 }));
    assert.deepEqual(set.chaos, chaos);
    const says = ['100 % get 451 to MAIL', '5 % of connections are cut in the middle of DATA'];
    assert.deepEqual(await shown(), [[says, true]]);
    const client = await SmtpClient.secured(t, inbox.relay);
    await client.logIn(key);
    await client.command('MAIL FROM:<shop@acme.test>', '451 4.3.0 Chaos: ');
    await inbox.relay.db.query("update smtp_relay_credentials set chaos_until = now() - interval '1 second'");
    assert.deepEqual(await shown(), [[[], false]]);
    await inbox.ask(`/api/chaos/${id}`, sent('PUT', { chaos }));
    assert.deepEqual(await shown(), [[says, false]]);
    await inbox.ask(`/api/chaos/${id}`, sent('DELETE'));
    assert.deepEqual(await shown(), [[[], false]]);
  });

  it('is for keys in sandbox alone, and for what there is', async t => {
    const inbox = await startInbox(t);
    const { id } = await staging(inbox);
    const status = async (key: string, json: unknown) => {
      const answer = await fetch(`${inbox.url}/api/chaos/${key}`, sent('PUT', json));
      return [answer.status, ((await answer.json()) as { error: string }).error] as const;
    };
    const cut = { chaos: { cutPercent: 5 } };
    assert.match(String(await status(inbox.relay.owner.keyId, cut)), /^409,the key is not in sandbox/);
    assert.match(String(await status('00000000-0000-4000-8000-000000000000', cut)), /^404,.*; see: GET \/api\/keys$/);
    for (const wrong of [
      { chaos: {} },
      { chaos: { replies: [{ stage: 'QUIT', code: 451, percent: 5 }] } },
      { chaos: { replies: [{ stage: 'MAIL', code: 452, percent: 5 }] } },
      { chaos: { cutPercent: 101 } },
      { chaos: { replies: [451, 550].map(code => ({ stage: 'MAIL', code, percent: 51 })) } },
      { chaos: { slowSeconds: 601 } },
      { chaos: { cutPercent: 5 }, seconds: 0 },
      { cutPercent: 5 },
    ])
      assert.equal((await status(id, wrong))[0], 400, JSON.stringify(wrong));
  });
});

/** Sessions of as many other keys, newer than any. */
const OTHERS = `
  insert into smtp_relay_sessions (id, subject, client_address, pod, began_at, last_at, step, rule, reply, refusals, lines)
  select 'other' || n, 'key' || n, '192.0.2.1', 'a-relay', now(), now() + interval '1 hour', 'MAIL', 'order', '503 No', 1, '[]'
    from generate_series(1, 1500) n`;

describe('refused sessions in the inbox', () => {
  it('have their transcript, the reason and what to change; beside a transport that sends, of keys in sandbox alone', async t => {
    const smarthost = await startSmarthost(t);
    const smtp = { transport: 'smtp', 'smtp.host': '127.0.0.1', 'smtp.port': smarthost.port, 'smtp.security': 'none' };
    for (const settings of [{}, smtp]) {
      const inbox = await startInbox(t, { settings, relaySettings: settings });
      const { key } = await staging(inbox);
      const names = async () => (await inbox.ask<RefusedSubjects>('/api/sessions')).subjects.map(({ name }) => name);
      for (const password of [inbox.relay.owner.apiKey, key]) {
        const client = await SmtpClient.secured(t, inbox.relay);
        await client.logIn(password);
        await client.command('RCPT TO:<ann@example.com>', '503 ');
      }
      const stranger = await SmtpClient.secured(t, inbox.relay);
      await stranger.logIn('os_live_wrong', '535 ');
      await eventually(async () => (await inbox.relay.db.query('select from smtp_relay_sessions')).rowCount === 3);
      const all = ['127.0.0.1', 'Staging app', 'test'];
      assert.deepEqual((await names()).toSorted(), 'transport' in settings ? ['Staging app'] : all);
      const { rows } = await inbox.relay.db.query<{ id: string; mine: boolean }>(
        'select id, subject = $1 as mine from smtp_relay_sessions',
        [inbox.relay.owner.keyId],
      );
      const real = await fetch(`${inbox.url}/api/sessions/${rows.find(({ mine }) => mine)?.id}`);
      assert.equal(real.status, 'transport' in settings ? 404 : 200);
      const { subjects } = await inbox.ask<RefusedSubjects>('/api/sessions');
      const session = subjects.find(({ name }) => name === 'Staging app')?.newest[0];
      assert.match(String(session?.change), /Look what was refused before it/);
      // Thousands of others do not hide it.
      if ('transport' in settings) await inbox.relay.db.query(OTHERS);
      assert.ok((await names()).includes('Staging app'));
      const story = await inbox.ask<SessionStory>(`/api/sessions/${session?.id}`);
      assert.ok(story.lines.some(([, by, text]) => by === 'C' && text === 'RCPT TO:<ann@example.com>'));
    }
  });
});

describe('the pages beside messages', { skip: needs('chromium') }, () => {
  it('set and end chaos and show what was refused, by the keyboard, in both schemes and sizes', async t => {
    const { inbox, open } = await startBrowser(t);
    await staging(inbox);
    const client = await SmtpClient.loggedIn(t, inbox.relay);
    await client.command('EHLO <b>me</b>', '250 ');
    await client.command('RCPT TO:<ann@example.com>', '503 ');
    const axe = await readFile(AXE, 'utf8');
    const page = await open();
    await page.getByText('live', { exact: true }).waitFor();
    await page.keyboard.press('c');
    await page.getByRole('heading', { name: 'Staging app' }).waitFor();
    await page.getByLabel('Percent').fill('30');
    await page.getByLabel('Stage').selectOption('after the dot');
    await page.getByRole('button', { name: 'Set', exact: true }).press('Enter');
    await page.getByText('30 % get 451 after the message').waitFor();
    await page.getByText('Ends by itself at').waitFor();
    await page.getByRole('button', { name: 'End it' }).press('Enter');
    await page.getByText('Nothing goes wrong on purpose.').waitFor();
    await page.getByRole('heading', { level: 1 }).click();
    await page.keyboard.press('r');
    await page.waitForURL('**/sessions');
    await page.getByText('503 5.5.1 Error: need MAIL command').waitFor();
    await page.locator('summary').first().press('Enter');
    await page.getByText('EHLO <b>me</b>').waitFor();
    assert.equal(await page.locator('.said b').count(), 0);
    await page.goBack();
    await page.waitForURL('**/chaos');
    await page.context().close();
    for (const colorScheme of ['light', 'dark'] as const) {
      for (const viewport of [
        { width: 1280, height: 800 },
        { width: 390, height: 844 },
      ]) {
        for (const path of ['/chaos', '/sessions']) {
          const view = await open(path, { colorScheme, viewport, bypassCSP: true });
          await view.getByRole('heading', { level: 2 }).first().waitFor();
          if (path === '/sessions') {
            await view.locator('summary').first().click();
            await view.getByText('EHLO <b>me</b>').waitFor();
          }
          assert.deepEqual(await axeProblems(view, axe), [], `${path} ${colorScheme} ${viewport.width}`);
          assert.equal(await view.evaluate('document.documentElement.scrollWidth > innerWidth'), false, path);
          await view.context().close();
        }
      }
    }
  });
});
