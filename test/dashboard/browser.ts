/**
 * A real browser for tests of the page: Debian's Chromium, driven by playwright-core, with the page built from its sources. Where there
 * is no Chromium, CHROMIUM says why the tests are passed over.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';

const PLACES = [
  process.env['CHROMIUM_PATH'] ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];

/** Null: there is none. */
export const CHROMIUM = PLACES.find((path) => path !== '' && existsSync(path)) ?? null;

/** For the name of what is passed over. */
export const IN_CHROMIUM = CHROMIUM === null ? '(passed over: no Chromium; apt-get install chromium)' : 'in Chromium';

/** The folder of the built page. */
export function builtPage(): string {
  const program = fileURLToPath(new URL('../../.ci/page.mjs', import.meta.url));
  return execFileSync(process.execPath, [program, '--cached'], { encoding: 'utf8' }).trim();
}

export async function openBrowser(): Promise<Browser> {
  const { chromium } = await import('playwright-core');
  return chromium.launch({
    executablePath: CHROMIUM ?? '',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

export const DESKTOP = { viewport: { width: 1280, height: 860 } };
export const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };

/** A page, and what went wrong in it: errors, refused by its own policy, requests to anywhere else. */
export interface WatchedPage {
  readonly page: Page;
  readonly wrong: string[];
}

export async function openPage(
  browser: Browser,
  origin: string,
  options: BrowserContextOptions = DESKTOP,
): Promise<WatchedPage> {
  const context = await browser.newContext({ ...options, reducedMotion: 'reduce', baseURL: origin });
  const page = await context.newPage();
  const wrong: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' && !/status of 40[14]/.test(message.text())) wrong.push(message.text());
  });
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('request', (request) => {
    if (!request.url().startsWith(origin)) wrong.push(`request to ${request.url()}`);
  });
  return { page, wrong };
}

/** What axe finds, a line each; rules of WCAG 2.2 at levels A and AA, and its best practices. */
export async function violations(page: Page): Promise<readonly string[]> {
  const { default: axe } = await import('axe-core');
  await page.evaluate(axe.source);
  return page.evaluate(async () => {
    const run = (globalThis as unknown as { axe: { run: () => Promise<{ violations: readonly Violation[] }> } }).axe;
    interface Violation {
      readonly id: string;
      readonly help: string;
      readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
    }
    const found = await run.run();
    return found.violations.map(
      ({ id, help, nodes }) =>
        `${id}: ${help}: ${nodes.map(({ html, failureSummary = '' }) => `${html.slice(0, 160)} ${failureSummary}`).join(' | ')}`,
    );
  });
}
