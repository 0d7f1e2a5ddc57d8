import axe from 'axe-core';
import { type Browser, chromium, type Page } from 'playwright-core';

export interface PageOptions {
  /** Pixels; 1280 by 900 unless given. */
  readonly width?: number;
  readonly scheme?: 'light' | 'dark';
}

/** A page in a browser, and what went wrong in it: errors, what its policy kept from it, requests to elsewhere. */
export interface WatchedPage {
  readonly page: Page;
  readonly faults: readonly string[];
}

/** Debian's. */
const CHROMIUM = '/usr/bin/chromium';
/** Milliseconds for what a browser waits for, on a busy machine. */
export const PATIENCE = 60_000;

/** Chromium, without a window. `needs('chromium')` says whether there is one. @param args further arguments of its command line */
export function launchBrowser(args: readonly string[] = []): Promise<Browser> {
  // Root has no sandbox of Chromium's own; the pages' are what is tested.
  const asRoot = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [...asRoot, '--disable-dev-shm-usage', ...args],
    timeout: PATIENCE,
  });
}

/** Opens an address. Nothing but its own host may be asked. */
export async function openPage(browser: Browser, url: string, options: PageOptions = {}): Promise<WatchedPage> {
  const { width = 1280, scheme = 'light' } = options;
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const faults: string[] = [];
  page.on('pageerror', error => faults.push(error.message));
  page.on('console', message => message.type() === 'error' && faults.push(message.text()));
  page.on('request', request => {
    const asked = new URL(request.url());
    if (asked.protocol !== 'data:' && asked.host !== new URL(url).host) faults.push(`asked ${request.url()}`);
  });
  await page.goto(url);
  return { page, faults };
}

/** What of WCAG 2.2 to level AA a page does not keep, as axe-core finds it: rule and places. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  // By the browser's own debugger, since the policy of the page takes no other script.
  await page.evaluate(axe.source);
  const found = await page.evaluate(async () => {
    const { run } = (globalThis as unknown as { axe: typeof axe }).axe;
    const { violations } = await run({
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`);
  });
  return found;
}
