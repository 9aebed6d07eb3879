/** The saga in memory, on a clock that the test moves: nothing is started, and nothing sleeps. */
import { Rejection } from 'holdfast';
import { everyCrashPoint, testSagas } from 'holdfast/testing';
import { expect, it } from 'vitest';
import { placeOrder } from '../src/sagas/place-order.js';

const order = { orderId: 'o-1', item: 'chair', amount: 42 };
// Stands for the transactions of the step `accept`, which has no database here.
const steps = { accept: async () => {} };
const compensations = { accept: async () => {} };

it('charges an order and tells of it', async () => {
  const test = testSagas({ sagas: [placeOrder], steps, compensations });
  const run = await test.start(placeOrder, order);
  expect((await run.status()).status).toBe('completed');
  expect(test.story).toEqual(['accept', 'charge']);
  expect(test.messages).toMatchObject([{ topic: 'order.accepted', key: 'o-1', payload: { item: 'chair' } }]);
});

it('rejects an order that cannot be paid', async () => {
  const test = testSagas({ sagas: [placeOrder], steps, compensations });
  test.failStep('charge', new Rejection('the card is declined'));
  const run = await test.start(placeOrder, order);
  expect((await run.status()).status).toBe('compensated');
  expect(test.story).toEqual(['accept', 'compensate accept']);
});

it('bears a crash anywhere', async () => {
  await everyCrashPoint(placeOrder, order, ({ status }) => expect(status).toBe('completed'), { steps, compensations });
});
