/**
 * The other kinds of handlers: what each promises, and what it says it does not.
 */
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { on, type HandlerContext, type HandlerKind } from '../../src/inbox/handlers/handler.ts';
import { createMemoryWindow, type DedupWindow } from '../../src/inbox/window/window.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { clean, delivery, manualClock, openLab, Placed, Shipped, wire, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(() => clean(lab));
afterAll(() => lab.dispose());

const effect = async (_order: unknown, { tx, message }: HandlerContext<PoolClient>): Promise<void> => {
  await tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, 'done']);
};
const failing = async (order: unknown, context: HandlerContext<PoolClient>): Promise<void> => {
  await effect(order, context);
  throw new Error('no');
};

describe('idempotent', () => {
  it('leaves no mark, and runs duplicates again', async () => {
    const consumer = lab.make({ handlers: [on(Placed, effect, { kind: 'idempotent' })] });
    const sent = wire();
    await consumer.handle(delivery(sent));
    await consumer.handle(delivery(sent));
    expect(await lab.effects()).toHaveLength(2);
    expect(await lab.count('inbox')).toBe(0);
  });

  it('rolls back, retries, parks and redrives like the others', async () => {
    let works = false;
    const consumer = lab.make({
      retry: { attempts: 2 },
      handlers: [on(Placed, (order, context) => (works ? effect : failing)(order, context), { kind: 'idempotent' })],
    });
    const sent = wire();
    await consumer.handle(delivery(sent));
    expect(await lab.effects()).toEqual([]);
    expect(await lab.parked()).toMatchObject([{ attempts: 2 }]);
    works = true;
    await consumer.tickParked();
    expect(await lab.effects()).toHaveLength(1);
    expect(await lab.parked()).toEqual([]);
  });
});

describe('window', () => {
  const make = (window: DedupWindow, handle = effect) =>
    lab.make({ window, retry: { attempts: 1 }, handlers: [on(Placed, handle, { kind: 'window' })] });

  it('recognises duplicates without a mark in the database', async () => {
    const consumer = make(createMemoryWindow());
    const sent = wire();
    await consumer.handle(delivery(sent));
    await consumer.handle(delivery(sent));
    expect(await lab.effects()).toHaveLength(1);
    expect(await lab.count('inbox')).toBe(0);
  });

  it('marks after success only', async () => {
    const window = createMemoryWindow();
    const sent = wire();
    await make(window, failing).handle(delivery(sent));
    expect(await window.seen('shipping', sent.id)).toBe(false);
  });

  it('repeats the effect when the mark could not be written: the stated risk', async () => {
    const forgetful: DedupWindow = {
      seen: async () => false,
      mark: () => Promise.reject(new Error('away')),
      close: async () => {},
    };
    const consumer = make(forgetful);
    const sent = wire();
    for (let copy = 0; copy < 2; copy += 1) expect(await consumer.handle(delivery(sent))).toEqual({ kind: 'done' });
    expect(await lab.effects()).toHaveLength(2);
  });

  it('holds messages while the window cannot be asked', async () => {
    const clock = manualClock();
    const blind: DedupWindow = {
      seen: () => Promise.reject(new Error('away')),
      mark: async () => {},
      close: async () => {},
    };
    const consumer = lab.make({
      clock,
      random: () => 0.999,
      window: blind,
      handlers: [on(Placed, effect, { kind: 'window' })],
    });
    const verdict = consumer.handle(delivery(wire()));
    const settled = verdict.then(() => true);
    while (!(await Promise.race([settled, clock.whenSleeping().then(() => false)]))) await clock.advance('5s');
    expect(await verdict).toMatchObject({ kind: 'later' });
    expect(await lab.effects()).toEqual([]);
  });

  it('asks again a window that could not be asked, and runs nothing before it has an answer', async () => {
    let asked = 0;
    let runs = 0;
    const window: DedupWindow = {
      seen: async () => {
        asked += 1;
        if (asked < 3) throw new Error('away');
        return true;
      },
      mark: async () => {},
      close: async () => {},
    };
    const consumer = lab.make({ window, handlers: [on(Placed, () => void (runs += 1), { kind: 'window' })] });
    expect(await consumer.handle(delivery(wire()))).toEqual({ kind: 'done' });
    expect([asked, runs]).toEqual([3, 0]);
  });

  it('needs a window', () => {
    expect(() => lab.make({ handlers: [on(Placed, effect, { kind: 'window' })] })).toThrow(/has no window/);
  });
});

describe('at-most-once', () => {
  const kind: HandlerKind = 'at-most-once';

  it('runs once, duplicates included', async () => {
    const consumer = lab.make({ handlers: [on(Placed, effect, { kind })] });
    const sent = wire();
    await consumer.handle(delivery(sent));
    await consumer.handle(delivery(sent));
    expect(await lab.effects()).toHaveLength(1);
  });

  it('loses the message when the handler fails: no retry, not parked, acknowledged', async () => {
    let runs = 0;
    const consumer = lab.make({
      handlers: [
        on(
          Placed,
          (order, context) => {
            runs += 1;
            return failing(order, context);
          },
          { kind },
        ),
      ],
    });
    const sent = wire();
    expect(await consumer.handle(delivery(sent))).toEqual({ kind: 'done' });
    expect(await consumer.handle(delivery(sent))).toEqual({ kind: 'done' });
    expect(runs).toBe(1);
    expect(await lab.effects()).toEqual([]);
    expect(await lab.parked()).toEqual([]);
  });

  it('loses the message when the process dies in the handler', async () => {
    const sent = wire();
    const dying = lab.make({
      handlers: [on(Placed, effect, { kind })],
      crashPoint: (point) => {
        if (point === 'inbox.handler:before') throw new Error('killed');
      },
    });
    await expect(dying.handle(delivery(sent))).rejects.toThrow();
    await lab.make({ handlers: [on(Placed, effect, { kind })] }).handle(delivery(sent));
    expect(await lab.effects()).toEqual([]);
  });
});

describe('send in a handler', () => {
  it('writes to the outbox in the same transaction, naming its cause', async () => {
    let works = false;
    const consumer = lab.make({
      outbox: createOutbox(),
      retry: { attempts: 1 },
      handlers: [
        on(Placed, async (order, { send }) => {
          await send(Shipped, { orderId: order.orderId }, { key: 'k' });
          if (!works) throw new Error('no');
        }),
      ],
    });
    const sent = wire();
    await consumer.handle(delivery(sent));
    const rows = async () =>
      (await lab.test.pool.query('SELECT topic, key, payload, headers FROM holdfast.outbox')).rows;
    expect(await rows()).toEqual([]);
    works = true;
    await consumer.tickParked();
    expect(await rows()).toMatchObject([
      {
        topic: 'order.shipped',
        key: 'k',
        payload: { orderId: 'o-1' },
        headers: { causationid: sent.id, correlationid: sent.id },
      },
    ]);
  });

  it('says so when there is no outbox', async () => {
    const consumer = lab.make({
      handlers: [on(Placed, (order, { send }) => send(Shipped, { orderId: order.orderId }))],
    });
    const sent = wire();
    await consumer.handle(delivery(sent));
    expect((await lab.parked(sent.id))[0]?.error).toMatch(/HF_CONFIG.*createOutbox/);
  });
});
