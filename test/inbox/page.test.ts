import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Page as BrowserPage } from 'playwright-core';
import type { Page } from '../../src/inbox/contract.ts';
import { eventually } from '../support/eventually.ts';
import { mail } from '../support/mail.ts';
import { needs } from '../support/needs.ts';
import { axeProblems } from './axe.ts';
import { startBrowser } from './browser.ts';
import type { TestInbox } from './inbox.ts';

const AXE = fileURLToPath(import.meta.resolve('axe-core/axe.min.js'));
const SIZES = [
  { width: 1280, height: 800 },
  { width: 390, height: 844 },
] as const;

function message(subject: string, body = '<p>Hi</p><a href="https://shop.example/1">one</a>'): string {
  const header = [
    'From: Shop <shop@acme.test>',
    'To: Ada <ada@example.com>',
    `Subject: ${subject}`,
    'X-OpenSend-Tag: kind=test',
  ];
  return mail(...header, 'Content-Type: text/html; charset=utf-8', '', body).toString();
}

async function allSent(inbox: TestInbox): Promise<void> {
  const isSent = async () =>
    (await inbox.ask<Page>('/api/messages')).messages.every(({ status }) => status !== 'queued');
  await eventually(isSent);
}

const row = (page: BrowserPage, subject: string) => page.getByRole('option').filter({ hasText: subject });

describe('the page of the inbox', { skip: needs('chromium') }, () => {
  it('shows messages as they arrive, and all that happens to them', async t => {
    const { inbox, open } = await startBrowser(t);
    const problems: string[] = [];
    const page = await open();
    page.on('pageerror', error => problems.push(String(error)));
    page.on('console', line => line.type() === 'error' && problems.push(line.text()));
    await page.getByText('No messages yet').waitFor();
    await page.getByText('live', { exact: true }).waitFor();
    const id = await inbox.send({ data: message('Your order'), to: ['ada@example.com', 'hidden@example.com'] });
    await row(page, 'Your order').click();
    await page.waitForURL(`**/messages/${id}`);
    await page.frameLocator('iframe').getByText('Hi').waitFor();
    await page.getByText('in the envelope only').waitFor();
    await row(page, 'Your order').getByText('sent', { exact: true }).waitFor();

    await page.getByRole('button', { name: 'Click' }).click();
    await row(page, 'Your order').getByText('clicked').waitFor();
    await page.getByLabel('Which recipient').selectOption('hidden@example.com');
    await page.getByRole('button', { name: 'Bounce' }).click();
    await row(page, 'Your order').getByText('bounced').waitFor();
    await page.getByRole('tab', { name: 'Journey' }).click();
    await page.getByText('email.bounced').waitFor();
    await page.getByText('Logged in', { exact: true }).waitFor();
    await page.getByRole('tab', { name: 'Session' }).click();
    await page.getByRole('cell', { name: 'RCPT TO:<hidden@example.com>' }).waitFor();
    await page.getByRole('tab', { name: 'Headers' }).click();
    await page.getByRole('cell', { name: 'Your order' }).waitFor();
    await page.getByRole('tab', { name: 'Source' }).click();
    await page.getByText('X-OpenSend-Tag: kind=test').waitFor();
    assert.deepEqual(problems, []);
  });

  it('can be used by the keyboard alone', async t => {
    const { inbox, open } = await startBrowser(t);
    for (const subject of ['First', 'Second', 'Third']) await inbox.send({ data: message(subject) });
    await allSent(inbox);
    const page = await open();
    await row(page, 'Third').waitFor();
    const chosen = (subject: string) => page.getByRole('heading', { name: subject, exact: true }).waitFor();
    await page.keyboard.press('j');
    await chosen('Third');
    await page.keyboard.press('j');
    await chosen('Second');
    await page.keyboard.press('k');
    await chosen('Third');
    await page.keyboard.press('3');
    await page.getByRole('tab', { name: 'Journey', selected: true }).waitFor();
    await page.keyboard.press('?');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    await page.keyboard.press('Delete');
    await chosen('Second');
    await row(page, 'Third').waitFor({ state: 'detached' });
    await page.keyboard.press('/');
    await page.keyboard.type('subject:first');
    await row(page, 'Second').waitFor({ state: 'detached' });
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await page.waitForURL(`${inbox.url}/`);
    // By Tab alone, as who knows no keys: search, help, delete all, list.
    await page.getByLabel('Search messages').fill('');
    await row(page, 'Second').waitFor();
    for (let presses = 0; presses < 10; presses += 1) {
      if (await page.evaluate(`document.activeElement?.role === 'listbox'`)) break;
      await page.keyboard.press('Tab');
    }
    await page.keyboard.press('ArrowDown');
    await chosen('Second');
  });

  it('keeps to WCAG AA in both schemes and sizes', async t => {
    const { inbox, open } = await startBrowser(t);
    for (const to of ['ada@example.com', 'bounced@resend.dev', 'complained@resend.dev'])
      await inbox.send({ data: message(`To ${to}`), to: [to] });
    await allSent(inbox);
    const axe = await readFile(AXE, 'utf8');
    const first = (await inbox.ask<Page>('/api/messages')).messages.at(-1)?.id;
    for (const colorScheme of ['light', 'dark'] as const) {
      for (const viewport of SIZES) {
        const page = await open('/', { colorScheme, viewport, bypassCSP: true });
        await row(page, 'To ada').waitFor();
        await check(page, axe, `list ${colorScheme} ${viewport.width}`);
        await page.goto(`${inbox.url}/messages/${first}`);
        // Each view in both schemes and both sizes, by two of the four together.
        const isWide = viewport === SIZES[0];
        const views =
          (colorScheme === 'light') === isWide
            ? ['HTML', 'Headers', 'Source', 'Session', 'Keys']
            : ['Journey', 'Parts', 'Changes', 'Session', 'Keys'];
        for (const name of views) {
          await page.getByRole('tab', { name }).click();
          await page.getByRole('tab', { name, selected: true }).waitFor();
          if (name === 'Keys') await page.getByText('accepted', { exact: true }).waitFor();
          await check(page, axe, `${name} ${colorScheme} ${viewport.width}`);
        }
        await page.context().close();
      }
    }
  });

  it('is not wider than a phone', async t => {
    const { inbox, open } = await startBrowser(t);
    const subject = `A subject that is long ${'x'.repeat(120)}`;
    const id = await inbox.send({ data: message(subject) });
    const page = await open('/', { viewport: SIZES[1] });
    const wide = () => page.evaluate('document.documentElement.scrollWidth > innerWidth');
    await row(page, 'A subject').waitFor();
    assert.equal(await wide(), false);
    await row(page, 'A subject').click();
    for (const name of ['HTML', 'Journey', 'Session', 'Headers', 'Parts', 'Source', 'Changes', 'Keys']) {
      await page.getByRole('tab', { name }).click();
      assert.equal(await wide(), false, name);
    }
    await page.getByRole('button', { name: 'Back to the list' }).click();
    await row(page, 'A subject').waitFor();
    assert.equal(new URL(page.url()).pathname, '/', id);
  });

  it('makes rows for what is seen of ten thousand, and no others', async t => {
    const { inbox, open } = await startBrowser(t);
    await inbox.worker.db.query(
      `insert into emails (id, user_id, "from", "to", subject, text, status, created_at)
       select gen_random_uuid(), 'acme', 'shop@acme.test', jsonb_build_array('user' || n || '@example.com'), 'Message ' || n, 'Hi',
              'sent', now() - n * interval '1 second'
         from generate_series(1, 10000) n`,
    );
    const page = await open();
    await page.getByText('10,000 messages').waitFor();
    await row(page, 'Message 1').first().waitFor();
    const list = page.getByRole('listbox');
    let deepest = 0;
    // To the end, however far more is loaded each time.
    await eventually(async () => {
      deepest = await list.evaluate(element => {
        element.scrollTop = element.scrollHeight;
        return element.scrollHeight;
      });
      assert.ok((await page.getByRole('option').count()) < 60);
      return deepest >= 10_000 * 78;
    }, 240_000);
    await row(page, 'Message 10000').waitFor();
    assert.ok((await page.getByRole('option').count()) < 60);
  });

  it('keeps what a search has found beyond thousands of others when a message arrives', async t => {
    const { inbox, open } = await startBrowser(t);
    await inbox.worker.db.query(
      `insert into emails (id, user_id, "from", "to", subject, text, status, created_at)
       select gen_random_uuid(), 'acme', 'shop@acme.test', '["user@example.com"]', 'Message ' || n, 'Hi', 'sent',
              now() - n * interval '1 second'
         from generate_series(1, 4000) n`,
    );
    const page = await open('/?query=%22Message%203999%22');
    await row(page, 'Message 3999').waitFor();
    await page.getByText('live', { exact: true }).waitFor();
    const isRead = page.waitForResponse(response => /\/api\/messages\?/.test(response.url()));
    await inbox.send({ data: message('Another') });
    await (await isRead).finished();
    await page.evaluate('new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)))');
    await row(page, 'Message 3999').waitFor();
    await inbox.send({ data: message('Message 3999, too') });
    await row(page, 'Message 3999, too').waitFor();
    assert.equal(await page.getByRole('option').count(), 2);
  });

  it('says of a message that is open when somebody deletes it', async t => {
    const { inbox, open } = await startBrowser(t);
    const id = await inbox.send({ data: message('Your order') });
    await allSent(inbox);
    const page = await open(`/messages/${id}`);
    await page.getByRole('heading', { name: 'Your order' }).waitFor();
    await page.getByText('live', { exact: true }).waitFor();
    await inbox.ask(`/api/messages/${id}`, { method: 'DELETE' });
    await page.getByText('This message is gone').waitFor();
    assert.equal(await page.getByRole('heading', { name: 'Your order' }).count(), 0);
  });
});

/** @throws AssertionError with what axe-core found */
async function check(page: BrowserPage, axe: string, what: string): Promise<void> {
  assert.deepEqual(await axeProblems(page, axe), [], what);
}
