/**
 * What a person on call does, in a real browser, with the real server on a real database: finds one order by its number, reads what
 * happened to it, sees it stuck, mends it with a reason, watches it end, and finds that in the audit.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { createWorker, type Worker } from '../../src/saga/worker/worker.ts';
import { PermanentError, Rejection } from '../../src/errors.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { CHROMIUM, IN_CHROMIUM } from './browser.ts';
import { servePage, type ServedPage } from './served-page.ts';

let bankIsBack = false;

const placeOrder = saga({
  name: 'place-order',
  input: z.object({ order: z.string() }),
  steps: {
    reserve: step({ run: (order: string) => ({ reserved: order }), compensate: () => undefined }),
    charge: step({
      run: () => ({ payment: 'p-1' }),
      compensate: () => {
        if (!bankIsBack) throw new PermanentError('the bank does not know this payment');
      },
    }),
    ship: step({
      run: () => {
        throw new Rejection('no lorry goes there');
      },
    }),
  },
  async run({ input, steps }) {
    await steps.reserve(input.order);
    await steps.charge();
    await steps.ship();
  },
});

describe.runIf(CHROMIUM !== null)(`a person on call ${IN_CHROMIUM}`, () => {
  let test: TestDatabase;
  let database: Database;
  let worker: Worker;
  let served: ServedPage;

  beforeAll(async () => {
    test = await createTestDatabase({ migrate: true });
    database = openDatabase({ url: test.url, max: 5 });
    worker = createWorker({ database, sagas: [placeOrder], name: 'worker-1' });
    await worker.start();
    served = await servePage('ada:operator', { database, sagas: [placeOrder], basePath: '/ops/holdfast' });
  });
  afterAll(async () => {
    await served.close();
    await worker.stop();
    await database.close();
    await test.drop();
  });

  it('finds an order, mends its stuck run, and sees who did', async () => {
    const { id } = await worker.sagas.start(placeOrder, { order: 'o-4711' }, { key: 'o-4711' });
    const { page, wrong } = await served.signIn();
    await page.getByText('1 stuck run of place-order').waitFor();

    await page.getByLabel('Find by id or key').fill('o-4711');
    await page.keyboard.press('Enter');
    await page
      .getByRole('main')
      .getByRole('link', { name: /place-order/ })
      .first()
      .click();
    await page.getByText('Stuck for').waitFor();
    await page.getByText('the bank does not know this payment').first().waitFor();
    await page.getByRole('link', { name: 'reserve', exact: true }).first().click();
    await expect.poll(() => page.getByLabel('Output', { exact: true }).textContent()).toContain('"reserved": "o-4711"');

    bankIsBack = true;
    await page.getByRole('button', { name: 'Try again' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Reason').fill('the bank is back');
    await dialog.getByRole('button', { name: 'Try again' }).click();
    await dialog.getByText(`holdfast saga retry ${id} --reason 'the bank is back'`).waitFor();
    await dialog.getByRole('button', { name: 'Close' }).click();
    await page.locator('.facts').first().getByText('compensated', { exact: true }).waitFor();

    await page.getByRole('link', { name: 'Audit' }).click();
    const row = page.getByRole('row').filter({ hasText: 'the bank is back' });
    await row.waitFor();
    expect(await row.textContent()).toContain('dashboard:ada');
    expect(await row.textContent()).toContain('saga.retry');

    await page.getByRole('link', { name: 'Sagas' }).click();
    await page.getByText('place-order', { exact: false }).first().waitFor();
    expect(wrong).toEqual([]);
    await page.context().close();
  });
});
