/**
 * A message that kills its process is found, parked, and named; others are not blamed.
 */
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Consumer } from '../../src/inbox/consumer.ts';
import { on, type HandlerContext } from '../../src/inbox/handlers/handler.ts';
import { clean, delivery, openLab, Placed, signal, wire, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(() => clean(lab));
afterAll(() => lab.dispose());

const effect = (_order: unknown, { tx, message }: HandlerContext<PoolClient>): Promise<unknown> =>
  tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, 'done']);

/** A process that dies when the handler is about to run. */
const dying = (): Consumer =>
  lab.make({
    handlers: [on(Placed, effect)],
    crashPoint: (point) => {
      if (point === 'inbox.handler:before') throw new Error('killed');
    },
  });

it('parks a message after three deaths, without running it again', async () => {
  const sent = wire();
  await expect(dying().handle(delivery(sent))).rejects.toThrow('inbox.handler:before');
  expect(await lab.count('delivery_attempt')).toBe(0);
  for (let redeliveries = 1; redeliveries <= 3; redeliveries += 1) {
    await expect(dying().handle(delivery(sent, { redeliveries }))).rejects.toThrow('inbox.handler:before');
  }
  expect(await dying().handle(delivery(sent, { redeliveries: 4 }))).toEqual({ kind: 'done' });
  expect(await lab.parked(sent.id)).toMatchObject([
    { reason: 'crashed the consumer', state: 'failed', next_attempt_at: null },
  ]);
  expect(await lab.count('delivery_attempt')).toBe(0);
});

it('clears the marks of a message whose process lived', async () => {
  const sent = wire();
  await expect(dying().handle(delivery(sent, { redeliveries: 1 }))).rejects.toThrow();
  expect(await lab.count('delivery_attempt')).toBe(1);
  const failing = lab.make({
    retry: { attempts: 1 },
    handlers: [
      on(Placed, () => {
        throw new Error('no');
      }),
    ],
  });
  await failing.handle(delivery(sent, { redeliveries: 2 }));
  expect(await lab.count('delivery_attempt')).toBe(0);
});

it('runs suspects one at a time, beside the others', async () => {
  const running = new Set<string>();
  let most = 0;
  const first = signal();
  const goOn = signal();
  const consumer = lab.make({
    handlers: [
      on(Placed, async (order, context) => {
        if (order.n === 1) {
          running.add(context.message.id);
          most = Math.max(most, running.size);
          first.fire();
          await goOn.promise;
          running.delete(context.message.id);
        }
        await effect(order, context);
      }),
    ],
  });
  const suspects = [1, 2, 3].map(() => consumer.handle(delivery(wire(), { redeliveries: 1 })));
  await first.promise;
  // One that is no suspect does not wait for them.
  await consumer.handle(delivery(wire({ data: { orderId: 'o', n: 2 } })));
  goOn.fire();
  await Promise.all(suspects);
  expect(most).toBe(1);
  expect(await lab.effects()).toHaveLength(4);
});

it('costs a message that was never redelivered nothing', async () => {
  const points: string[] = [];
  const consumer = lab.make({ handlers: [on(Placed, effect)], crashPoint: (point) => points.push(point) });
  await consumer.handle(delivery(wire()));
  expect(points.filter((point) => point.startsWith('inbox.suspect'))).toEqual([]);
});

it('does not mark a message that was handled before its process died', async () => {
  const sent = wire();
  const consumer = lab.make({ handlers: [on(Placed, effect)] });
  await consumer.handle(delivery(sent));
  expect(await consumer.handle(delivery(sent, { redeliveries: 1 }))).toEqual({ kind: 'done' });
  expect(await lab.count('delivery_attempt')).toBe(0);
  expect(await lab.effects()).toHaveLength(1);
});
