/**
 * One page over several databases, in a real browser: an order followed over the border of its database, from the outbox of one to the inbox of
 * another and back; one that is away; a run that is mended in the database that it is in.
 */
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { seedRun, STUCK_UNDOING } from '../operations/saga-lab.ts';
import { AWAY, openTwoServices, placeOrder, type TwoServices } from '../operations/two-services.ts';
import { CHROMIUM, DESKTOP, IN_CHROMIUM, PHONE, violations } from './browser.ts';
import { servePage, takePicture, type ServedPage } from './served-page.ts';

describe.runIf(CHROMIUM !== null)(`one page over several databases ${IN_CHROMIUM}`, () => {
  let services: TwoServices;
  let stock: Database;
  let served: ServedPage;

  beforeAll(async () => {
    services = await openTwoServices();
    stock = openDatabase({ url: AWAY });
    const { orders, payments } = services;
    served = await servePage('ada:operator', { databases: { orders, payments, stock }, sagas: [placeOrder] });
  });
  afterAll(async () => {
    await served.close();
    await stock.close();
    await services.dispose();
  });

  async function look(page: Page, name: string): Promise<void> {
    const width = await page.evaluate<number>(
      'document.documentElement.scrollWidth - document.documentElement.clientWidth',
    );
    expect({ name, width }).toEqual({ name, width: 0 });
    expect({ name, found: await violations(page) }).toEqual({ name, found: [] });
    await takePicture(page, `border-${name}`);
  }

  it.each([
    ['desk', DESKTOP, 'o-1'],
    ['phone', PHONE, 'o-2'],
  ] as const)('follows an order over the border and back (%s)', async (device, options, orderId) => {
    const { messageId, runId } = await services.place(orderId);
    const { origin } = served;
    const { page, wrong } = await served.signIn(options);
    const main = page.getByRole('main');

    // All of them, with what needs a person: the one that is away, and nothing else.
    const row = (name: string) => main.getByRole('row').filter({ hasText: name });
    await row('orders').getByText('well').waitFor();
    await row('payments').getByText('well').waitFor();
    await row('stock').getByText('does not answer').waitFor();
    await main.getByRole('link', { name: /stock The database does not answer/ }).waitFor();
    await look(page, `${device}-all`);

    // Found in both, by one key.
    await page.keyboard.press('/');
    await page.keyboard.type(orderId);
    await page.keyboard.press('Enter');
    await page.waitForURL(`${origin}/find?q=${orderId}`);
    await main.getByText('stock does not answer').waitFor();
    await row('order.placed').getByText('orders').waitFor();
    await row('payment.booked').getByText('payments').waitFor();
    await look(page, `${device}-found`);
    await main.getByRole('link', { name: 'order.placed' }).click();

    // The message's way, over the border.
    await page.waitForURL(`${origin}/db/orders/messages/${messageId}`);
    const handled = main.getByRole('listitem').filter({ hasText: 'Consumer ledger' });
    await handled.waitFor();
    expect(await handled.textContent()).toMatch(/payments.*handled it/);
    await main.getByText('stock does not answer').waitFor();
    await look(page, `${device}-way`);
    await main.getByRole('link', { name: 'payment.booked was sent by its handler' }).click();
    await page.waitForURL(`${origin}/db/payments/messages/*`);
    await main.getByText('Consumer news').waitFor();
    await main.getByRole('link', { name: /order.placed, whose handling led to it/ }).click();
    await page.waitForURL(`${origin}/db/orders/messages/${messageId}`);

    // The run, its command, the reply in the other database, and back to the call.
    await main.getByRole('link', { name: /was started by the same transaction/ }).click();
    await page.waitForURL(`${origin}/db/orders/runs/${runId}`);
    await main.getByRole('link', { name: 'charge', exact: true }).last().click();
    await page
      .getByLabel('The chosen call')
      .getByRole('link', { name: /payment.charge/ })
      .click();
    await main.getByText('Participant payment').waitFor();
    await main.getByRole('link', { name: /saga.reply was sent by its handler/ }).click();
    await page.waitForURL(`${origin}/db/payments/messages/*`);
    await main.getByRole('link', { name: /took it in as the answer to charge: done/ }).click();
    await page.waitForURL(`${origin}/db/orders/runs/${runId}?call=charge`);
    expect(wrong).toEqual([]);
    await page.context().close();
  });

  it('leads from all to one and between them, and acts where it looks', async () => {
    const stuck = await seedRun(services.payments, STUCK_UNDOING);
    const { origin } = served;
    const { page, wrong } = await served.signIn();
    const main = page.getByRole('main');
    await main.getByRole('link', { name: /payments 1 stuck run of place-order/ }).click();
    await page.waitForURL(`${origin}/db/payments/runs?saga=place-order&status=stuck`);
    await main.getByRole('row').nth(1).getByRole('link').first().click();
    await page.getByText('Stuck for').waitFor();
    await page.getByRole('button', { name: 'Try again' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Reason').fill('the bank is back');
    await dialog.getByRole('button', { name: 'Try again' }).click();
    await dialog.getByText(`holdfast saga retry ${stuck} --reason 'the bank is back' --database payments`).waitFor();
    await dialog.getByRole('button', { name: 'Close' }).click();

    // Another database, the same list; then all of them.
    await page.getByRole('link', { name: 'Audit' }).click();
    await main.getByText('the bank is back').waitFor();
    await page.getByLabel('Database').selectOption('orders');
    await page.waitForURL(`${origin}/db/orders/audit`);
    await main.getByText('the bank is back').waitFor({ state: 'hidden' });
    await page.getByLabel('Database').selectOption('All databases');
    await page.waitForURL(`${origin}/`);

    // What is said of no database leads to the one that has it, or asks.
    await page.goto(`${origin}/runs/${stuck}`);
    await page.waitForURL(`${origin}/db/payments/runs/${stuck}`);
    await page.goto(`${origin}/workers`);
    await look(page, 'desk-which');
    await main.getByRole('link', { name: 'payments' }).click();
    await page.waitForURL(`${origin}/db/payments/workers`);
    await page.goto(`${origin}/db/billing/workers`);
    await main.getByText('This dashboard sees no database').waitFor();
    expect(wrong).toEqual([]);
    await page.context().close();
  });
});
