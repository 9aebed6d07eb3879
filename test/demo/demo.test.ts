/**
 * The demo from end to end, as small as it gets: real servers, real processes, kills and duplicates, and a clean audit. Then what whoever
 * has never seen Holdfast does with it, in the dashboard that it leaves up: finds an order, makes a participant fail, watches a run being
 * compensated, mends one that is stuck, and finds that in the audit.
 *
 * `HOLDFAST_PICTURES=docs/pictures npx vitest run test/demo/demo.test.ts` makes the pictures of README and docs.
 */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CHROMIUM, IN_CHROMIUM, openBrowser } from '../dashboard/browser.ts';
import { startKeptDemo, type KeptDemo } from './kept-demo.ts';
import { openViewers, type Viewers } from './viewers.ts';

describe('npm run demo -- --keep', () => {
  let demo: KeptDemo;
  let url: string;
  beforeAll(async () => {
    demo = startKeptDemo('--orders', '60', '--seed', '7');
    // Long before the audit.
    [, url = ''] = await demo.says(/dashboard +(http:\/\/127\.0\.0\.1:\d+\/)/);
  });
  afterAll(() => demo.dispose());

  const read = async (path: string) =>
    (await (await fetch(url + path)).json()) as { readonly items: readonly { readonly id: string }[] };
  /** The newest run of which the page of the run says this. */
  const runThatSays = async (status: string, words: string) => {
    let found: string | undefined;
    await expect
      .poll(
        async () => {
          const { items } = await read(`api/db/orders/runs?status=${status}&limit=5`);
          for (const { id } of items)
            if (JSON.stringify(await read(`api/db/orders/runs/${id}`)).includes(words)) return (found = id);
          return undefined;
        },
        { timeout: 60_000, interval: 500 },
      )
      .toBeDefined();
    return found as string;
  };

  it('carries out or compensates every order, loses nothing and doubles nothing, and says so in one line of JSON', async () => {
    const audit = await demo.audit();
    expect(audit).toMatchObject({
      orders: 60,
      lost: 0,
      outOfOrder: 0,
      runs: 60,
      stuck: 0,
      doubleEffects: 0,
      missingCompensations: 0,
      wrongOrderCompensations: 0,
      wrongEnds: 0,
      cancellationsLost: 0,
      ghosts: 0,
      kills: 8,
      moneyConserved: true,
      stockConserved: true,
      ok: true,
    });
    expect(audit['delivered']).toBe(audit['committed']);
    expect(audit['committed']).toBeGreaterThan(60 * 5);
    expect(Number(audit['completed']) + Number(audit['compensated'])).toBe(60);
    expect(audit['compensated']).toBeGreaterThan(0);
    expect(audit['duplicatesSuppressed']).toBeGreaterThan(0);
  }, 600_000);

  it('goes on with orders, and has one dashboard over the databases of all services', async () => {
    await demo.says(/The demo stays up/);
    // What the page was read from may be some seconds old, and the relays have just been started anew.
    await expect
      .poll(async () => (await fetch(new URL('/api/all/overview', url))).json(), { timeout: 60_000 })
      .toMatchObject({
        items: ['orders', 'payment', 'stock', 'shipping'].map((database) => ({
          database,
          answer: { relay: { subscriptions: [{ name: 'demo', live: true }] } },
        })),
      });
    await expect
      .poll(async () => (await read('api/db/orders/runs?key=order-00062')).items, { timeout: 60_000 })
      .toHaveLength(1);
  });

  it('says what can be typed when it is told what it does not know', async () => {
    demo.type('fail everything');
    await demo.says(/Type a line:[^]*Type a line:/);
  });

  describe.runIf(CHROMIUM !== null)(`the story of who has never seen it ${IN_CHROMIUM}`, () => {
    let browser: Browser;
    let viewers: Viewers;
    beforeAll(async () => {
      browser = await openBrowser();
      viewers = await openViewers(browser, url);
    });
    afterAll(() => browser.close());

    it('finds one order by its id, and reads its way', async () => {
      const { page } = viewers;
      await page.goto(url);
      await page.getByText('Needs a person').waitFor();
      await page.getByLabel('Find by id or key').fill('order-00007');
      await page.keyboard.press('Enter');
      await page
        .getByRole('main')
        .getByRole('link', { name: /place-order/ })
        .first()
        .click();
      await page.getByText('Over time').waitFor();
      expect(await page.getByRole('main').textContent()).toContain('order-00007');
      await viewers.picture('story-order', 'Over time');
      // The news of it: from the transaction that wrote it to the service that hears it.
      await page.getByRole('main').getByRole('link', { name: 'order.accepted' }).first().click();
      await page.getByText('Consumer orders').first().waitFor();
      await viewers.picture('story-path', 'Consumer orders');
      // A command of the same run, over the border to the database of who carries it out, and the reply that comes back from there.
      await page.goBack();
      await page.getByRole('main').getByRole('link', { name: 'charge', exact: true }).last().click();
      await page
        .getByLabel('The chosen call')
        .getByRole('link', { name: /payment\.charge/ })
        .first()
        .click();
      await page.getByText('Participant payment').first().waitFor();
      expect(await page.getByRole('listitem').filter({ hasText: 'Participant payment' }).textContent()).toContain(
        'payment',
      );
      await viewers.picture('story-border', 'Participant payment');
    });

    it('has a participant fail, and watches a run being compensated', async () => {
      const { page } = viewers;
      demo.type('fail shipping');
      await demo.says(/shipping: no lorry goes today/);
      const id = await runThatSays('compensated', 'no lorry goes today');
      await page.goto(`${url}db/orders/runs/${id}`);
      await page.getByText('no lorry goes today').first().waitFor();
      await page.locator('.facts').first().getByText('compensated', { exact: true }).waitFor();
      await viewers.picture('story-compensated', 'no lorry goes today');
    });

    it('mends a stuck run, and finds that in the audit', async () => {
      const { page } = viewers;
      demo.type('fail refunds');
      await runThatSays('stuck', 'the bank gives no money back today');
      await demo.says(/alert: .*of saga place-order need/);
      await page.goto(url);
      await page
        .getByRole('main')
        .getByText(/stuck runs? of place-order/)
        .waitFor();
      await viewers.picture('story-overview', 'of place-order');
      demo.type('mend all');
      await demo.says(/everything: mended/);

      await page
        .getByRole('main')
        .getByText(/stuck runs? of place-order/)
        .click();
      await page.getByRole('main').getByRole('row').nth(1).getByRole('link').first().click();
      await page.getByText('Stuck for').waitFor();
      await viewers.picture('story-stuck', 'Stuck for');
      await page.getByRole('button', { name: 'Try again' }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('Reason').fill('the bank pays back again');
      await dialog.getByRole('button', { name: 'Try again' }).click();
      await dialog.getByText(/holdfast saga retry .* --reason 'the bank pays back again'/).waitFor();
      await dialog.getByRole('button', { name: 'Close' }).click();
      await page.locator('.facts').first().getByText('compensated', { exact: true }).waitFor();

      await page.getByRole('link', { name: 'Audit' }).click();
      const row = page.getByRole('row').filter({ hasText: 'the bank pays back again' });
      await row.waitFor();
      expect(await row.textContent()).toContain('saga.retry');
      await viewers.picture('story-audit', 'the bank pays back again');
    });

    it('has not met an error, a broken rule of the page, or a page that is too wide', () => {
      expect(viewers.wrong).toEqual([]);
    });
  });

  it('ends with Ctrl-C, with what the audit said, and leaves nothing running', async () => {
    expect(await demo.interrupt()).toBe(0);
    await expect(fetch(url)).rejects.toThrow();
  });
});

describe('npm run demo', () => {
  it('refuses what it does not understand, and says how it is used', async () => {
    const { code, stdout, stderr } = await runDemo('--orders', 'many');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('--orders is "many"');
    expect(stderr).toContain('Usage: npm run demo');
  });
});

async function runDemo(...args: string[]) {
  const child = spawn('npm', ['run', 'demo', '--silent', '--', ...args]);
  const code = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, stdout, stderr };
}
