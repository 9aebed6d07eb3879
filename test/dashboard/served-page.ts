/**
 * A dashboard of its own with its page, and a real browser that looks at it: for stories of what people do there.
 */
import { mkdirSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { createDashboard, tokenAuthenticator, type DashboardOptions } from '../../src/dashboard/dashboard.ts';
import { builtPage, DESKTOP, openBrowser, openPage, type WatchedPage } from './browser.ts';

const TOKEN = 'a-token-of-a-person-0123';

export interface ServedPage {
  /** Of the server, without the base path and a slash. */
  readonly origin: string;
  /** Somebody opens the page, and logs in with a token. Done when the page has something to show. */
  signIn(options?: typeof DESKTOP): Promise<WatchedPage>;
  close(): Promise<void>;
}

/** `who`: 'ada:operator'. */
export async function servePage(
  who: string,
  options: Omit<DashboardOptions, 'authenticators' | 'pageFolder'>,
): Promise<ServedPage> {
  const pageFolder = builtPage();
  const browser = await openBrowser();
  const dashboard = createDashboard({
    ...options,
    authenticators: [tokenAuthenticator([`${who}:${TOKEN}`])],
    pageFolder,
  });
  const server = createServer(dashboard.nodeHandler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    async signIn(device = DESKTOP) {
      const opened = await openPage(browser, origin, device);
      await opened.page.goto(`${origin}${options.basePath ?? ''}/`);
      await opened.page.getByLabel('Token').fill(TOKEN);
      await opened.page.getByRole('button', { name: 'Sign in' }).click();
      await opened.page.getByRole('heading', { name: 'Overview' }).waitFor();
      return opened;
    },
    async close() {
      await browser.close();
      await dashboard.close();
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Where HOLDFAST_PICTURES names a folder. */
export async function takePicture(page: Page, name: string, { fullPage = true } = {}): Promise<void> {
  const folder = process.env['HOLDFAST_PICTURES'];
  if (folder === undefined) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage });
}
