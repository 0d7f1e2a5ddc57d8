import type { TestContext } from 'node:test';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { currentPages } from '../../dev/pages.ts';
import { launchBrowser, PATIENCE } from '../support/browser.ts';
import { type InboxOptions, startInbox, type TestInbox } from './inbox.ts';

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
  const browser = await launchBrowser(args);
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
