/**
 * What a person on call does with what is parked, in a real browser, with the real server on a real database: sees it by error, retries a
 * group as a job and watches it, edits one message and sends the new version, discards a group, and finds all of that in the audit.
 */
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Consumer } from '../../src/inbox/consumer.ts';
import { on, type HandlerContext } from '../../src/inbox/handlers/handler.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { delivery, openLab, Placed, wire, type Lab } from '../inbox/lab.ts';
import { seedRun, STUCK_UNDOING } from '../operations/saga-lab.ts';
import { eventually } from '../support/eventually.ts';
import { published, recordingTransport } from '../support/recording-transport.ts';
import { CHROMIUM, IN_CHROMIUM, PHONE, violations } from './browser.ts';
import { servePage, takePicture, type ServedPage } from './served-page.ts';

let addressesAreOptional = false;

/** Knows no address of some, and no sum of others. */
async function ship(order: { readonly n: number }, { tx, message }: HandlerContext<PoolClient>): Promise<void> {
  if (order.n === 999) throw new Error(`the sum of order ${order.n} makes no sense`);
  if (!addressesAreOptional) throw new TypeError("Cannot read properties of undefined (reading 'street')");
  await tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, String(order.n)]);
}

describe.runIf(CHROMIUM !== null)(`what is parked ${IN_CHROMIUM}`, () => {
  let lab: Lab;
  let consumer: Consumer;
  let served: ServedPage;

  beforeAll(async () => {
    lab = await openLab();
    consumer = lab.make({
      ordered: true,
      retry: { attempts: 1 },
      parkedRetry: { attempts: 1 },
      handlers: [on(Placed, ship)],
    });
    served = await servePage('ada:operator', { database: lab.database });
  });
  afterAll(async () => {
    await served.close();
    await lab.dispose();
  });

  it('is mended by error, by one, and for good, with a record', async () => {
    const sent = Array.from({ length: 12 }, (_, n) => wire({ key: `k-${n}`, data: { orderId: `k-${n}`, n } }));
    const wrong = wire({ key: 'k-wrong', data: { orderId: 'k-wrong', n: 999 } });
    const behind = wire({ key: 'k-wrong', data: { orderId: 'k-wrong', n: 7 } });
    for (const each of [...sent, wrong, behind]) await consumer.handle(delivery(each));
    const { origin } = served;
    const { page, wrong: faults } = await served.signIn();

    // By error, with the count first.
    await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Parked' }).click();
    await page.getByText('13 failed messages in 2 groups').waitFor();
    expect(await violations(page)).toEqual([]);
    await takePicture(page, 'parked-by-error');
    await page
      .getByRole('row')
      .filter({ hasText: 'TypeError' })
      .getByRole('button', { name: /^Retry/ })
      .click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('This meets 12 messages.').waitFor();
    await dialog.getByText('12 × order.placed at shipping: TypeError').waitFor();
    expect(await dialog.locator('code').textContent()).toMatch(
      /^holdfast parked retry --group consumer:shipping:order\.placed:\w{12} --yes --expect 12 --rate 500/,
    );
    expect(await violations(page)).toEqual([]);
    addressesAreOptional = true;
    await dialog.getByLabel('Reason').fill('the address is optional now');
    await dialog.getByRole('button', { name: 'Retry all 12' }).click();

    // The job, as it goes.
    await page.getByRole('heading', { name: 'Retry parked messages' }).waitFor();
    await page.getByRole('status').getByText('12 of 12 done').waitFor();
    await page.getByRole('status').getByText('done', { exact: true }).waitFor();
    expect(await violations(page)).toEqual([]);
    await takePicture(page, 'job-done');
    await eventually('all to be handled', async () => {
      await consumer.tickParked();
      return (await lab.effects()).length === 12;
    });

    // One message, edited.
    await page.goto(`${origin}/parked/${wrong.id}`);
    await page.getByRole('button', { name: 'Edit' }).click();
    const field = page.getByLabel('Payload as JSON');
    await field.fill('{"orderId": "k-wrong", "n": ');
    await page.getByText('This is not JSON yet.').waitFor();
    await field.fill('{"n": 99, "orderId": "k-wrong"}');
    await page.getByRole('button', { name: 'Show the difference' }).click();
    const difference = page.getByLabel('Difference');
    await expect.poll(() => difference.locator('.gone').textContent()).toContain('"n": 999');
    expect(await difference.locator('.come').textContent()).toContain('"n": 99');
    expect(await violations(page)).toEqual([]);
    await takePicture(page, 'edit');
    await page.getByRole('button', { name: 'Send it as a new version' }).click();
    expect(await dialog.locator('code').textContent()).toContain(
      `parked edit ${wrong.id} --consumer shipping --patch '{"n":99}'`,
    );
    await dialog.getByLabel('Reason').fill('a nine too many');
    await dialog.getByRole('button', { name: 'Send it' }).click();
    await dialog.getByText('Done, and written into the').waitFor();
    await dialog.getByRole('button', { name: 'Close' }).click();
    expect(page.url()).not.toContain(wrong.id);
    await page.getByText('Not handled by shipping').waitFor();
    await eventually('the new version and what waited behind it to be handled', async () => {
      await consumer.tickParked();
      return (await lab.effects()).length === 14;
    });
    expect((await lab.effects()).slice(-2).map(({ note }) => note)).toEqual(['99', '7']);

    // In the audit, with ways to the things themselves.
    await page.getByRole('link', { name: 'Audit' }).click();
    for (const [why, action] of [
      ['the address is optional now', 'job.start'],
      ['a nine too many', 'parked.revise'],
    ] as const) {
      const row = page.getByRole('row').filter({ hasText: why }).filter({ hasText: action });
      await row.waitFor();
      expect(await row.textContent()).toContain('dashboard:ada');
    }
    await page.getByRole('row').filter({ hasText: 'job.start' }).locator('a.row-link').click();
    await page.getByRole('heading', { name: 'Retry parked messages' }).waitFor();
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('is edited where a relay has it parked, and goes out so; on a phone too', async () => {
    const transport = recordingTransport();
    const sumOf = (text: string) => (JSON.parse(text) as { data: { n: number } }).data.n;
    transport.respond = async (batch) =>
      batch.map((each) =>
        sumOf(each.wire) > 1_000
          ? { kind: 'refused', permanent: true, error: new Error('the broker takes no sum above 1000') }
          : published,
      );
    const routes = [{ topics: '**', to: 'shipping' }];
    const relay = createRelay({ database: lab.database, subscriptions: [{ name: 'orders', transport, routes }] });
    await relay.prepare();
    const { rows } = await lab.database.query<{ id: string }>(
      `SELECT holdfast.send('order.placed', '{"orderId": "o-9", "n": 4200, "note": "by hand"}', key => 'o-9')::text AS id`,
    );
    const id = rows[0]?.id ?? '';
    await relay.tick();
    await relay.stop();
    const { origin } = served;
    const { page, wrong: faults } = await served.signIn();
    await page.goto(`${origin}/parked/${id}`);
    await page.getByText('Not published by orders').waitFor();
    await page.getByRole('button', { name: 'Edit' }).click();
    await page.getByLabel('Payload as JSON').fill('{"n": 42, "note": "by hand", "orderId": "o-9"}');
    await page.getByRole('button', { name: 'Show the difference' }).click();
    await expect.poll(() => page.getByLabel('Difference').locator('.come').textContent()).toContain('"n": 42');
    await takePicture(page, 'edit-relay');
    await page.getByRole('button', { name: 'Send it as a new version' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('The log keeps it as it was written').waitFor();
    expect(await dialog.locator('code').textContent()).toContain(
      `parked edit ${id} --subscription orders --patch '{"n":42}'`,
    );
    await takePicture(page, 'edit-relay-dialog');
    await dialog.getByLabel('Reason').fill('cents for euros');
    await dialog.getByRole('button', { name: 'Send it' }).click();
    await dialog.getByText('Done, and written into the').waitFor();
    await dialog.getByRole('button', { name: 'Close' }).click();
    await page.getByText('this payload goes out; the log keeps the other').waitFor();
    await page.getByText('a new version, not tried yet').waitFor();
    expect(page.url()).toContain(id);
    expect(await page.locator('.place').textContent()).toContain('42');
    expect(await violations(page)).toEqual([]);
    await takePicture(page, 'edited-relay');
    await page.getByRole('link', { name: 'The message and its way' }).click();
    await page.getByText('it was edited, and will go out with another payload').waitFor();
    await takePicture(page, 'edited-relay-path');
    await page.context().close();

    const phone = await served.signIn(PHONE);
    await phone.page.goto(`${origin}/parked/${id}`);
    await phone.page.getByText('this payload goes out; the log keeps the other').waitFor();
    await takePicture(phone.page, 'edited-relay-phone');
    await phone.page.getByRole('button', { name: 'Edit' }).click();
    await phone.page.getByLabel('Payload as JSON').fill('{"n": 43, "orderId": "o-9"}');
    await phone.page.getByRole('button', { name: 'Show the difference' }).click();
    await phone.page.getByRole('button', { name: 'Send it as a new version' }).waitFor();
    expect(await phone.page.evaluate<number>('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360);
    expect(await violations(phone.page)).toEqual([]);
    await takePicture(phone.page, 'edit-relay-phone');
    // While a relay may be publishing it, that is said.
    await lab.database.query(
      `UPDATE holdfast.subscription SET lease_owner = 'old', lease_epoch = lease_epoch + 1 WHERE name = 'orders'`,
    );
    await phone.page.getByLabel('Payload as JSON').fill('{"orderId": "o-9", "n": 44}');
    await phone.page.getByRole('button', { name: 'Show the difference' }).click();
    await phone.page.getByText('cannot be edited just now').waitFor();
    await takePicture(phone.page, 'edit-busy-phone');
    await lab.database.query(`UPDATE holdfast.subscription SET lease_owner = NULL WHERE name = 'orders'`);

    await relay.tick();
    await relay.stop();
    expect(transport.sent.map((each) => [each.id, sumOf(each.wire)])).toEqual([[id, 42]]);
    expect([...faults, ...phone.wrong.filter((each) => !each.includes('409'))]).toEqual([]);
    await phone.page.context().close();
  });

  it('is acted on as the list is narrowed, on a phone too; so are runs', async () => {
    const sent = Array.from({ length: 3 }, () => wire({ key: 'k', data: { orderId: 'k', n: 999 } }));
    for (const each of sent) await consumer.handle(delivery(each));
    await Promise.all([seedRun(lab.database, STUCK_UNDOING), seedRun(lab.database, STUCK_UNDOING)]);
    const { origin } = served;
    const { page, wrong } = await served.signIn({ ...PHONE, colorScheme: 'dark' } as typeof PHONE);
    await page.goto(`${origin}/parked?key=k`);
    await page.locator('.mark', { hasText: 'waits behind' }).first().waitFor();
    expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360);
    expect(await violations(page)).toEqual([]);
    await takePicture(page, 'parked-key-phone');
    await page.getByRole('button', { name: 'Discard all that fit' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('This meets 1 message.').waitFor();
    expect(await dialog.locator('code').textContent()).toContain('parked discard --key k --yes --expect 1');
    await takePicture(page, 'discard-phone');
    await dialog.getByLabel('Reason').fill('tests');
    await dialog.getByRole('button', { name: 'Discard it' }).click();
    await page.getByRole('status').getByText('1 of 1 done').waitFor();

    await page.goto(`${origin}/runs?status=stuck`);
    await page.getByRole('button', { name: 'Retry all' }).click();
    await dialog.getByText('This meets 2 runs.').waitFor();
    await dialog.getByLabel('Reason').fill('the bank is back');
    await dialog.getByRole('button', { name: 'Retry all 2' }).click();
    await page.getByRole('status').getByText('2 of 2 done').waitFor();
    expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360);
    await takePicture(page, 'job-phone');
    await page.goto(`${origin}/runs?status=stuck&key=o-1`);
    await page.getByText('No run fits').waitFor();
    expect(await page.getByRole('button', { name: 'Retry all' }).count()).toBe(0);
    expect(wrong).toEqual([]);
    await page.context().close();
  });
});
