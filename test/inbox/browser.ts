import type { TestContext } from 'node:test';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { currentPages } from '../../dev/pages.ts';
import { type InboxOptions, startInbox, type TestInbox } from './inbox.ts';

/** Debian's. */
const CHROMIUM = '/usr/bin/chromium';
/** Milliseconds for what a browser waits for, on a busy machine. */
const PATIENCE = 60_000;

export interface BrowserTest {
  readonly inbox: TestInbox;
  open(path?: string, options?: BrowserContextOptions): Promise<Page>;
}

/** An inbox with its pages, and a browser to look at them. */
export async function startBrowser(
  t: TestContext,
  { args = [], ...options }: InboxOptions & { readonly args?: readonly string[] } = {},
): Promise<BrowserTest> {
  const inbox = await startInbox(t, { ...options, loadPages: currentPages });
  const browser = await launch(args);
  t.after(() => browser.close());
  return {
    inbox,
    async open(path = '/', contextOptions = {}) {
      const context = await browser.newContext(contextOptions);
      context.setDefaultTimeout(PATIENCE);
      const page = await context.newPage();
      await page.goto(`${inbox.url}${path}`);
      return page;
    },
  };
}

/** Root has no sandbox of Chromium's own; the pages' are what is tested. */
function launch(args: readonly string[]): Promise<Browser> {
  const asRoot = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [...asRoot, '--disable-dev-shm-usage', ...args],
    timeout: PATIENCE,
  });
}
