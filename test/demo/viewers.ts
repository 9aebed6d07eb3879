/**
 * Who looks at the demo's dashboard: somebody at a desk, in light, and somebody with a phone, in dark; for pictures both of them in both.
 * What the first one sees, the others see at the same address.
 */
import type { Browser, Page } from 'playwright-core';
import { openPage, PHONE } from '../dashboard/browser.ts';
import { takePicture } from '../dashboard/served-page.ts';

export interface Viewers {
  /** Of the one who acts: at a desk, in light. */
  readonly page: Page;
  /** What went wrong in the page of any of them. */
  readonly wrong: readonly string[];
  /**
   * All of them look until the page says so. Where HOLDFAST_PICTURES names a folder they make pictures: of the first one by this name, of
   * the others with theirs added.
   */
  picture(name: string, says: string): Promise<void>;
}

const DESK = { viewport: { width: 1280, height: 800 } };

const LOOKS = [
  ['', { ...DESK, colorScheme: 'light' }],
  ['-dark', { ...DESK, colorScheme: 'dark' }],
  ['-phone', { ...PHONE, colorScheme: 'light' }],
  ['-phone-dark', { ...PHONE, colorScheme: 'dark' }],
] as const;

export async function openViewers(browser: Browser, url: string): Promise<Viewers> {
  const { origin } = new URL(url);
  const folder = process.env['HOLDFAST_PICTURES'];
  const looks = folder === undefined ? LOOKS.filter(([name]) => name === '' || name === '-phone-dark') : LOOKS;
  const opened = await Promise.all(
    looks.map(async ([name, options]) => ({
      name,
      width: options.viewport.width,
      ...(await openPage(browser, origin, options)),
    })),
  );
  const [first] = opened;
  if (first === undefined) throw new Error('Nobody looks.');
  const tooWide: string[] = [];
  return {
    page: first.page,
    get wrong() {
      return [...opened.flatMap(({ wrong }) => wrong), ...tooWide];
    },
    async picture(name, says) {
      for (const { name: look, page, width } of opened) {
        if (page !== first.page) await page.goto(first.page.url());
        await page.getByRole('main').getByText(says).first().waitFor();
        const over = (await page.evaluate<number>('document.documentElement.scrollWidth')) - width;
        if (over > 0) tooWide.push(`${name}${look} is ${over} pixels too wide`);
        await takePicture(page, `${name}${look}`, { fullPage: look.includes('phone') });
      }
    },
  };
}
