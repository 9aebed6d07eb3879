/**
 * The page in a real browser, on sample answers: every view on a desk and on a phone, light and dark, without what axe finds, without a
 * word against its own policy, and by the keyboard alone.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { builtPage, CHROMIUM, DESKTOP, IN_CHROMIUM, openBrowser, openPage, PHONE, violations } from './browser.ts';
import { JOB_IDS } from './sample-mend.ts';
import { IDS, RUN_IDS, SESSION } from './sample-pages.ts';
import { startSampleServer, type SampleServer } from './sample-server.ts';

const folder = builtPage();

it('is under 80 kB compressed, all of it', () => {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const bytes = files
    .filter(({ name }) => !name.endsWith('.md'))
    .map(({ parentPath, name }) => gzipSync(readFileSync(join(parentPath, name))).length);
  expect(bytes.length).toBeGreaterThan(2);
  expect(bytes.reduce((sum, each) => sum + each, 0)).toBeLessThan(80_000);
});

it('has nothing in line and nothing from elsewhere', () => {
  const html = readFileSync(join(folder, 'index.html'), 'utf8');
  expect(html).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=/);
  const links = [...html.matchAll(/\s(?:src|href)="([^"]*)"/g)].map(([, link = '']) => link);
  expect(links.filter((link) => !link.startsWith('./'))).toEqual([]);
});

const VIEWS: readonly (readonly [name: string, path: string, says: string])[] = [
  ['overview', '', 'Needs a person'],
  ['messages', 'messages', 'order.placed'],
  ['message', `messages/${IDS.message}`, 'Consumer billing'],
  ['parked', 'parked', 'Cannot read properties'],
  ['parked-groups', 'parked-groups', '1,207 failed messages'],
  ['jobs', 'jobs', 'Cancel runs'],
  ['job-open', `jobs/${JOB_IDS.open}`, '700 of 1,204 done'],
  ['job-done', `jobs/${JOB_IDS.done}`, 'The first of them'],
  ['parked-message', `parked/${IDS.parked}`, 'Not handled by shipping'],
  ['runs', 'runs', 'place-order'],
  ['run-stuck', `runs/${RUN_IDS.stuck}?call=charge`, 'Stuck for'],
  ['run-compensated', `runs/${RUN_IDS.compensated}`, 'Over time'],
  ['run-waiting', `runs/${RUN_IDS.waiting}`, 'Over time'],
  ['run-parallel', `runs/${RUN_IDS.parallel}?call=hotel`, 'Over time'],
  ['sagas', 'sagas', 'done within'],
  ['subscriptions', 'subscriptions', 'has routes for'],
  ['queues', 'subscriptions', 'no consumer is connected'],
  ['workers', 'workers', 'worker-b'],
  ['alerts', 'alerts', 'Who watches'],
  ['schedule', 'schedule', 'order.remind'],
  ['limits', 'limits', 'Budgets of steps'],
  ['audit', 'audit', 'the bank is back'],
  ['doctor', 'doctor', 'fsync is off'],
  ['find', 'find?q=o-1', 'place-order@1'],
  ['find-nothing', 'find?q=o-99', 'Look further back'],
  ['searched', 'messages?payload=%7B%22a%22%3A1%7D&cause=x', 'Looked through 21,000 messages'],
  ['empty', 'messages?key=nobody', 'No message fits'],
  ['failed', 'messages/nothing', 'It is not there.'],
];

/** On a phone, one of each kind: what they are made of is the same. */
const ON_A_PHONE = new Set([
  'parked-groups',
  'job-done',
  'overview',
  'messages',
  'message',
  'parked-message',
  'run-stuck',
  'sagas',
  'doctor',
  'find',
  'searched',
  'limits',
]);
const DEVICES = [
  ['desktop-light', { ...DESKTOP, colorScheme: 'light' }, VIEWS],
  ['phone-dark', { ...PHONE, colorScheme: 'dark' }, VIEWS.filter(([name]) => ON_A_PHONE.has(name))],
] as const;

describe.runIf(CHROMIUM !== null)(`the page ${IN_CHROMIUM}`, () => {
  let browser: Browser;
  let server: SampleServer;
  beforeAll(async () => {
    [browser, server] = await Promise.all([openBrowser(), startSampleServer(folder)]);
  });
  afterAll(async () => {
    await browser.close();
    await server.close();
  });
  afterEach(async () => {
    server.overrides.clear();
    await Promise.all(browser.contexts().map((context) => context.close()));
  });
  const open = (options = DESKTOP) => openPage(browser, server.origin, options);

  it.each(DEVICES)('%s: every view is whole, and axe finds nothing', async (device, options, views) => {
    const { page, wrong } = await openPage(browser, server.origin, options);
    const pictures = process.env['HOLDFAST_PICTURES'];
    const found: string[] = [];
    for (const [name, path, says] of views) {
      await page.goto(server.url + path);
      await page.getByText(says).first().waitFor();
      const width = (await page.evaluate<number>('document.documentElement.scrollWidth')) - options.viewport.width;
      if (width > 0) found.push(`${name} is ${width} pixels too wide`);
      found.push(...(await violations(page)).map((each) => `${name}: ${each}`));
      if (pictures !== undefined) {
        mkdirSync(pictures, { recursive: true });
        await page.screenshot({ path: join(pictures, `${name}-${device}.png`), fullPage: true });
      }
    }
    expect(found).toEqual([]);
    expect(wrong).toEqual([]);
  });

  it('leads from an id to the run, to its call, and through an act into the audit, by keys alone', async () => {
    const { page, wrong } = await open();
    server.acts.length = 0;
    await page.goto(server.url);
    await page.getByText('Needs a person').waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type(RUN_IDS.stuck);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Runs' }).waitFor();
    await page.keyboard.press('Escape');
    await page.evaluate('document.activeElement.blur()');
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.getByText('Stuck for').waitFor();
    expect(page.url()).toContain(`/ops/runs/${RUN_IDS.stuck}`);
    await page.getByRole('button', { name: 'Try again' }).focus();
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog');
    await dialog.waitFor();
    expect(await dialog.getByRole('button', { name: 'Try again' }).isDisabled()).toBe(true);
    await page.keyboard.type("it's mended");
    expect(await dialog.locator('code').textContent()).toContain(
      `saga retry ${RUN_IDS.stuck} --reason 'it'\\''s mended'`,
    );
    expect(await violations(page)).toEqual([]);
    await dialog.getByRole('button', { name: 'Try again' }).press('Enter');
    await dialog.getByText('Done, and written into the').waitFor();
    expect(server.acts).toMatchObject([
      { path: `api/runs/${RUN_IDS.stuck}/retry`, body: { reason: "it's mended" }, headers: { 'x-holdfast-csrf': '1' } },
    ]);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    await page.keyboard.press('g');
    await page.keyboard.press('a');
    await page.getByText('the bank is back').waitFor();
    expect(wrong).toEqual([]);
  });

  it('shows what others wrote as text, with what cannot be seen made visible', async () => {
    const { page, wrong } = await open();
    await page.goto(`${server.url}messages/${IDS.message}`);
    const payload = await page.getByLabel('Payload', { exact: true }).textContent();
    expect(payload).toContain('<script>alert(1)</script>');
    expect(payload).toContain(String.raw`\u202e`);
    expect(await page.locator('main script').count()).toBe(0);
    expect(wrong).toEqual([]);
  });

  it('stands still while it is paused, and says so', async () => {
    const { page } = await open();
    await page.goto(server.url);
    await page.getByRole('button', { name: 'Live' }).click();
    await page.getByRole('button', { name: 'Paused' }).waitFor();
    await expect.poll(() => server.listeners.size).toBe(0);
    await page.getByRole('button', { name: 'Paused' }).click();
    await page.getByRole('button', { name: 'Live' }).waitFor();
  });

  it('keeps filters in the address, which opens the same view elsewhere', async () => {
    const { page } = await open();
    await page.goto(`${server.url}runs`);
    await page.getByLabel('State').selectOption('stuck');
    await page.waitForURL(/status=stuck/);
    await page.getByRole('row').nth(1).waitFor();
    const rows = await page.getByRole('row').count();
    const { page: elsewhere } = await open();
    await elsewhere.goto(page.url());
    await elsewhere.getByRole('row').nth(1).waitFor();
    expect(await elsewhere.getByRole('row').count()).toBe(rows);
    expect(await elsewhere.getByLabel('State').inputValue()).toBe('stuck');
  });

  it('never says "nothing" when it did not look at all of it, and goes on from there', async () => {
    const { page } = await open();
    await page.goto(`${server.url}messages`);
    await page.getByLabel('Payload contains').fill('{"orderId":"o-1"}');
    await page.keyboard.press('Enter');
    await page.getByText('Nothing that fits so far.').waitFor();
    expect(new URL(page.url()).searchParams.get('payload')).toBe('{"orderId":"o-1"}');
    expect(await page.getByText('No message fits').count()).toBe(0);
    await page.getByRole('link', { name: 'Go on from there' }).click();
    await page.getByRole('row').nth(1).waitFor();
    expect(new URL(page.url()).searchParams.get('cursor')).toBe('further');
    await page.getByRole('link', { name: '‹ Newer' }).click();
    await page.waitForURL(/cursor=newer/);
    await page.getByRole('link', { name: '« Newest' }).click();
    await page.getByText('Nothing that fits so far.').waitFor();
    expect(new URL(page.url()).searchParams.has('cursor')).toBe(false);
  });

  it('does so of what is parked, too', async () => {
    const looked = { rows: 20_000, complete: false };
    server.overrides.set('api/parked', { status: 200, body: { items: [], next: 'further', looked } });
    const { page } = await open();
    await page.goto(`${server.url}parked?topic=rare.*`);
    await page.getByText('Nothing that fits so far. Looked through 20,000 messages. There may be more').waitFor();
    expect(await page.getByText('Nothing is parked here').count()).toBe(0);
    server.overrides.delete('api/parked');
    await page.getByRole('link', { name: 'Go on from there' }).click();
    await page.getByRole('row').nth(1).waitFor();
    expect(new URL(page.url()).searchParams.get('cursor')).toBe('further');
    expect(await page.getByText('Nothing that fits so far.').count()).toBe(0);
  });

  it('has fields above a list that are of one height', async () => {
    const { page } = await open();
    for (const view of ['runs', 'parked', 'parked-groups']) {
      await page.goto(server.url + view);
      await page.getByLabel('State').waitFor();
      const heights = await page.evaluate<readonly number[]>(
        `[...document.querySelectorAll('.filters select, .filters input')].map((field) => field.getBoundingClientRect().height)`,
      );
      expect({ view, heights: [...new Set(heights)] }).toEqual({ view, heights: [expect.any(Number)] });
    }
  });

  it('offers no search by what is hidden from who asks', async () => {
    const { page } = await open();
    server.overrides.set('api/session', { status: 200, body: { ...SESSION, searchesValues: false } });
    await page.goto(`${server.url}messages`);
    await page.getByLabel('Correlation id').waitFor();
    expect(await page.getByLabel('Payload contains').count()).toBe(0);
  });

  it('leads from a message to the call that sent it, and back', async () => {
    const { page, wrong } = await open();
    await page.goto(`${server.url}messages/${IDS.message}`);
    await page.getByRole('link', { name: /is sent by reserve of place-order@1/ }).click();
    await page.waitForURL(/call=reserve/);
    await page
      .getByLabel('The chosen call')
      .getByRole('link', { name: /order.placed/ })
      .click();
    await page.getByText('Consumer billing').waitFor();
    expect(page.url()).toContain(`/ops/messages/${IDS.message}`);
    await page.getByRole('link', { name: 'Why, and what to do' }).click();
    await page.waitForURL(new RegExp(`parked/${IDS.message}`));
    expect(wrong).toEqual([]);
  });

  it('asks who one is when the session is over, and goes on where one was', async () => {
    const { page } = await open();
    server.overrides.set('api/session', {
      status: 401,
      body: { code: 'HF_LOGIN', message: 'Who are you?', advice: null, form: true },
    });
    await page.goto(`${server.url}runs/${RUN_IDS.waiting}`);
    await page.getByLabel('Token').fill('secret');
    expect(await violations(page)).toEqual([]);
    server.overrides.delete('api/session');
    await page.keyboard.press('Enter');
    await page.getByText('Over time').waitFor();
    expect(server.acts.at(-1)).toMatchObject({ path: 'login', body: 'token=secret' });
  });

  it('offers a viewer nothing that would be refused', async () => {
    const { page } = await open();
    server.overrides.set('api/session', {
      status: 200,
      body: { ...SESSION, role: 'viewer' },
    });
    await page.goto(`${server.url}runs/${RUN_IDS.stuck}`);
    await page.getByText('An operator can act on this run.').waitFor();
    expect(await page.getByRole('button', { name: 'Try again' }).count()).toBe(0);
  });
});
