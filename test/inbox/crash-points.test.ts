/**
 * The process dies before and after every I/O of a consumer; another one takes over. Whatever the point, in the end there is one
 * effect, nothing is parked, and a duplicate changes nothing.
 */
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Consumer } from '../../src/inbox/consumer.ts';
import { on, type HandlerContext, type HandlerKind } from '../../src/inbox/handlers/handler.ts';
import { retryParkedDeliveries } from '../../src/inbox/stores/parked-operations.ts';
import { createMemoryWindow } from '../../src/inbox/window/window.ts';
import { INBOX_CRASH_POINTS } from '../../src/inbox/handlers/unit-of-work.ts';
import { clean, delivery, openLab, Placed, wire, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(() => clean(lab));
afterAll(() => lab.dispose());

const reached = new Set<string>();
let failing = false;

function process(dieAt: string | null, kind: HandlerKind = 'exactly-once'): Consumer {
  return lab.make({
    retry: { attempts: 1 },
    window: createMemoryWindow(),
    handlers: [
      on(
        Placed,
        async (_order, { tx, message }: HandlerContext<PoolClient>) => {
          await tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, 'done']);
          if (failing) throw new Error('no');
        },
        { kind },
      ),
    ],
    crashPoint: (point) => {
      reached.add(point);
      if (point === dieAt) throw new Error('killed');
    },
  });
}

/** A delivery that the broker gives out until it is acknowledged, then once more. */
async function deliver(sent: ReturnType<typeof wire>, dieAt: string): Promise<void> {
  await process(dieAt)
    .handle(delivery(sent, { redeliveries: 1 }))
    .catch(() => {});
  expect(await process(null).handle(delivery(sent, { redeliveries: 2 }))).toEqual({ kind: 'done' });
  expect(await process(null).handle(delivery(sent))).toEqual({ kind: 'done' });
}

const points = INBOX_CRASH_POINTS.flatMap((point) =>
  point === 'inbox.ack' ? [`${point}:before`] : [`${point}:before`, `${point}:after`],
);

it.each(points.filter((point) => point.startsWith('inbox.') && !/park|window/.test(point)))(
  'delivery, killed at %s',
  async (point) => {
    failing = false;
    const sent = wire();
    await deliver(sent, point);
    expect(await lab.effects()).toHaveLength(1);
    expect(await lab.parked()).toEqual([]);
    expect(await lab.count('delivery_attempt')).toBe(0);
  },
);

it.each(points.filter((point) => /park/.test(point)))('parking and redrive, killed at %s', async (point) => {
  failing = true;
  const sent = wire();
  await deliver(sent, point);
  expect(await lab.parked()).toHaveLength(1);
  await process(point)
    .tickParked()
    .catch(() => {});
  failing = false;
  await process(point)
    .tickParked()
    .catch(() => {});
  await retryParkedDeliveries(lab.database, 'shipping', { all: true }, { actor: 'test' });
  await process(null).tickParked();
  expect(await lab.effects()).toHaveLength(1);
  expect(await lab.parked()).toEqual([]);
});

it('a window, killed around its mark, repeats the effect: that is its risk', async () => {
  failing = false;
  const sent = wire();
  await process('inbox.window:before', 'window')
    .handle(delivery(sent))
    .catch(() => {});
  await process('inbox.window:after', 'window')
    .handle(delivery(sent))
    .catch(() => {});
  expect(await lab.effects()).toHaveLength(2);
});

it('all of them were reached', () => {
  expect(points.filter((point) => !reached.has(point))).toEqual([]);
});
