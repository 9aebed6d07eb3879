/** In memory, with vitest: handlers that write no table, on a clock that the test moves. */
import { testMessages } from 'holdfast/testing';
import { expect, it } from 'vitest';
import { InvoiceDue, OrderPlaced, ReleaseStock, reminders, ReserveStock, stockHandlers } from './shop.ts';

const order = { orderId: 'o-1', total: 250, email: 'ann@example.org' };

it('reminds of large orders after two weeks', async () => {
  const seen: string[] = [];
  const test = testMessages({
    consumers: {
      reminders: { handlers: reminders },
      accounts: { handlers: (on) => [on(InvoiceDue, ({ orderId }) => seen.push(orderId))] },
    },
  });
  await test.deliver(OrderPlaced, order, { times: 2 });
  expect(test).toHaveSentTimes(InvoiceDue, 1, { orderId: 'o-1' });
  await test.advance('13d');
  expect(seen).toEqual([]);
  await test.advance('1d');
  expect(test).toHaveHandled(InvoiceDue, { orderId: 'o-1' }, { by: 'accounts' });
});

it('parks what fails, and handles it when it is taken up again', async () => {
  let down = true;
  const test = testMessages({
    consumers: {
      mail: {
        handlers: (on) => [
          on(OrderPlaced, () => {
            if (down) throw new Error('the mail server is away');
          }),
        ],
      },
    },
  });
  await test.send(OrderPlaced, order);
  await test.advance('30s'); // the attempts in place
  expect(test.parked).toMatchObject([{ consumer: 'mail', reason: 'gave up after retries' }]);
  down = false;
  await test.advance('2h'); // the next redrive
  expect(test).toHaveHandled(OrderPlaced);
});

it('answers the commands of sagas once, and compensates them', async () => {
  const shelves = new Map([['chair', 'a-7']]);
  const test = testMessages({ participants: { stock: { handlers: stockHandlers(shelves) } } });
  const reserved = await test.command(ReserveStock, { sku: 'chair' }, { times: 3 });
  expect(reserved.reply).toMatchObject({ outcome: 'done', output: { shelf: 'a-7' } });
  const refused = await test.command(ReserveStock, { sku: 'chair' });
  expect(refused.reply).toMatchObject({ outcome: 'rejected', error: { message: 'sold out' } });
  await test.compensate(ReleaseStock, { sku: 'chair' }, { of: reserved });
  expect(shelves.get('chair')).toBe('a-7');
});
