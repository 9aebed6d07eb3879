/**
 * Redrives beside what operators and duplicates do, and what looking for them costs.
 */
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { on, type HandlerContext } from '../../src/inbox/handlers/handler.ts';
import { retryParkedDeliveries } from '../../src/inbox/stores/parked-operations.ts';
import { createMemoryWindow } from '../../src/inbox/window/window.ts';
import { noopMetrics, type Metrics } from '../../src/runtime/metrics.ts';
import { failingLogger, failingMetrics } from '../support/failing-observers.ts';
import { clean, delivery, manualClock, openLab, Placed, wire, type Lab } from './lab.ts';

let lab: Lab;
let works = true;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(async () => {
  works = true;
  await clean(lab);
});
afterAll(() => lab.dispose());

async function moody(order: { readonly n: number }, { tx, message }: HandlerContext<PoolClient>): Promise<void> {
  if (!works) throw new Error('not now');
  await tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, String(order.n)]);
}

it('remembers that a person let a message go without its predecessor, also when its handler then fails', async () => {
  const consumer = lab.make({
    ordered: true,
    retry: { attempts: 1 },
    predecessorWait: 0,
    handlers: [on(Placed, moody)],
  });
  const sent = wire({
    key: 'k',
    predecessor: { id: '0197a3c2-5b1e-7cc3-98c4-dc0c0c07398f', at: new Date(Date.now() + 60_000) },
  });
  await consumer.handle(delivery(sent));
  works = false;
  await retryParkedDeliveries(lab.database, 'shipping', { id: sent.id }, { actor: 'ann', withoutPredecessor: true });
  await consumer.tickParked();
  expect(await lab.effects()).toEqual([]);
  works = true;
  await retryParkedDeliveries(lab.database, 'shipping', { id: sent.id }, { actor: 'ann' });
  await consumer.tickParked();
  expect(await lab.effects()).toHaveLength(1);
});

it('does not repeat the effect of a window handler whose duplicate was handled while the message was parked', async () => {
  const consumer = lab.make({
    window: createMemoryWindow(),
    retry: { attempts: 1 },
    handlers: [on(Placed, moody, { kind: 'window' })],
  });
  const sent = wire();
  works = false;
  await consumer.handle(delivery(sent));
  works = true;
  await consumer.handle(delivery(sent));
  await retryParkedDeliveries(lab.database, 'shipping', { id: sent.id }, { actor: 'ann' });
  await consumer.tickParked();
  expect(await lab.effects()).toHaveLength(1);
  expect(await lab.parked()).toEqual([]);
});

it('counts what is parked seldom when counting takes long', async () => {
  const counted: number[] = [];
  const metrics: Metrics = {
    ...noopMetrics,
    gauge: () => ({ set: (_labels, value) => void counted.push(value), remove: () => {} }),
  };
  let nowMs = 0;
  // Whatever is timed takes half a second.
  const clock = { ...manualClock(), monotonic: () => (nowMs += 500) };
  const consumer = lab.make({ clock, metrics, handlers: [on(Placed, moody)] });
  for (let tick = 0; tick < 5; tick += 1) await consumer.tickParked();
  expect(counted).toEqual([0]);
  nowMs += 60_000;
  await consumer.tickParked();
  expect(counted).toEqual([0, 0]);
});

it('runs a handler as often as without observers when every one of them fails', async () => {
  let runs = 0;
  const consumer = lab.make({
    log: failingLogger('throws'),
    metrics: failingMetrics(),
    retry: { attempts: 2 },
    ignore: ['order.ignored'],
    handlerWait: 0,
    handlers: [
      on(Placed, async (order, context) => {
        runs += 1;
        await moody(order, context);
      }),
    ],
  });
  const done = { kind: 'done' };
  const sent = wire();
  works = false;
  expect(await consumer.handle(delivery(sent))).toEqual(done);
  works = true;
  await retryParkedDeliveries(lab.database, 'shipping', { id: sent.id }, { actor: 'ann' });
  await consumer.tickParked();
  for (const each of [sent, wire(), wire({ type: 'order.ignored' }), wire({ type: 'order.unheard' }), 'no json'])
    expect(await consumer.handle(delivery(each))).toEqual(done);
  await consumer.tickPrune();
  expect(runs).toBe(4);
  expect(await lab.effects()).toHaveLength(2);
  expect(await lab.parked()).toMatchObject([{ reason: 'no handler' }, { reason: 'cannot be decoded' }]);
});
