import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { currentPages } from '../../../dev/pages.ts';
import { freePort } from '../../../dev/ports.ts';
import { accessibilityFaults, launchBrowser, openPage } from '../../support/browser.ts';
import { eventually } from '../../support/eventually.ts';
import { needs } from '../../support/needs.ts';
import { startRelay } from '../../support/relay.ts';
import { SmtpClient } from '../../support/smtp-client.ts';

/** What the page and its files may weigh together, compressed. */
const MOST_BYTES = 50_000;
const GUIDE = 'https://guide.example/troubleshooting.md';

describe("the operator's page in a browser", { skip: needs('chromium') }, () => {
  it('shows at both widths and in both schemes what is wrong, and where to read on', async t => {
    const httpPort = await freePort();
    // Where nothing answers: the queue is away.
    const sqsEndpoint = `http://127.0.0.1:${await freePort()}`;
    const settings = {
      pipeline: 'standalone',
      httpHost: '127.0.0.1',
      httpPort,
      'operatorPage.guideUrl': GUIDE,
    } as const;
    await startRelay(t, { settings: { ...settings, sqsEndpoint }, loadPages: currentPages });
    const browser = await launchBrowser();
    t.after(() => browser.close());
    for (const width of [1280, 390]) {
      for (const scheme of ['light', 'dark'] as const) {
        const { page, faults } = await openPage(browser, `http://127.0.0.1:${httpPort}/`, { width, scheme });
        const link = page.getByRole('link', { name: /What to do about: The queue cannot be reached/ });
        await link.waitFor();
        assert.equal(await link.getAttribute('href'), `${GUIDE}#the-queue-cannot-be-reached`);
        await page.getByRole('heading', { name: 'Time to the 250' }).waitFor();
        assert.match(await page.title(), /^\(1\) relay/);
        assert.deepEqual(await accessibilityFaults(page), [], `${width} ${scheme}`);
        const widths = await page.evaluate<number[]>('[innerWidth, document.documentElement.scrollWidth]');
        assert.equal(widths[1], widths[0], 'nothing is beside the window');
        assert.deepEqual(faults, []);
        await page.context().close();
      }
    }
  });

  it('opens what was said in a session that was refused something, from the keyboard', async t => {
    const httpPort = await freePort();
    const relay = await startRelay(t, { settings: { httpPort, httpHost: '127.0.0.1' }, loadPages: currentPages });
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command('MAIL FROM:<shop@acme.test> X=1', '555 ');
    const browser = await launchBrowser();
    t.after(() => browser.close());
    for (const scheme of ['light', 'dark'] as const) {
      const { page, faults } = await openPage(browser, `http://127.0.0.1:${httpPort}/`, { width: 390, scheme });
      const subject = page.locator('.subject > summary');
      await subject.getByText('A parameter was used that the relay does not offer.').waitFor();
      await subject.focus();
      await page.keyboard.press('Enter');
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      await page.getByText('Switch the option off in the client').waitFor();
      await page.getByText('MAIL FROM:<***@acme.test> X=***').waitFor();
      assert.deepEqual(await accessibilityFaults(page), [], scheme);
      const widths = await page.evaluate<number[]>('[innerWidth, document.documentElement.scrollWidth]');
      assert.equal(widths[1], widths[0], 'nothing is beside the window');
      assert.deepEqual(faults, []);
      await page.context().close();
    }
  });

  it('is worked with from the keyboard', async t => {
    const httpPort = await freePort();
    await startRelay(t, { settings: { httpPort, httpHost: '127.0.0.1' }, loadPages: currentPages });
    const browser = await launchBrowser();
    t.after(() => browser.close());
    const { page } = await openPage(browser, `http://127.0.0.1:${httpPort}/`);
    const slider = page.getByRole('slider', { name: /Moment/ });
    const samples = async () => Number(await slider.getAttribute('max'));
    await eventually(async () => (await samples()) >= 2);
    await slider.focus();
    await page.keyboard.press('Home');
    assert.equal(await slider.inputValue(), '0');
    assert.match((await page.locator('.moment-time').textContent()) ?? '', /\d:\d\d/);
    await page.keyboard.press('End');
    await page.getByText('now', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Pause' }).focus();
    await page.keyboard.press('Enter');
    await page.getByText('paused').waitFor();
    const paused = await samples();
    await page.keyboard.press('Enter');
    // What came meanwhile is there.
    await eventually(async () => (await samples()) > paused);
  });

  it('weighs little', async () => {
    const files = [...(await currentPages())].filter(([name]) => name.startsWith('operator'));
    assert.equal(files.length, 3);
    const weight = files.reduce((all, [, content]) => all + gzipSync(content).length, 0);
    assert.ok(weight < MOST_BYTES, `${weight} bytes`);
  });
});
