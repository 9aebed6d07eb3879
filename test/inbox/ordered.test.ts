/**
 * Order per key, end to end: behind a failure, across processes, and when predecessors are missing.
 */
import { randomUUID } from 'node:crypto';
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Consumer } from '../../src/inbox/consumer.ts';
import type { DatabaseConsumerOptions } from '../../src/inbox/consumer-options.ts';
import { on, type HandlerContext } from '../../src/inbox/handlers/handler.ts';
import { keyLock } from '../../src/inbox/stores/inbox-store.ts';
import { discardParkedDelivery, retryParkedDeliveries } from '../../src/inbox/stores/parked-operations.ts';
import { clean, delivery, manualClock, openLab, Placed, Shipped, signal, wire, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
const broken = new Set<number>();
beforeEach(() => {
  broken.clear();
  return clean(lab);
});
afterAll(() => lab.dispose());

async function effect(order: { readonly n: number }, { tx, message }: HandlerContext<PoolClient>): Promise<void> {
  await tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, String(order.n)]);
  if (broken.has(order.n)) throw new Error(`${order.n} is broken`);
}

const make = (options: Partial<DatabaseConsumerOptions> = {}): Consumer =>
  lab.make({ ordered: true, retry: { attempts: 1 }, handlers: [on(Placed, effect)], ...options });

const numbered = (n: number, rest: Parameters<typeof wire>[0] = {}): ReturnType<typeof wire> =>
  wire({ key: 'k', data: { orderId: 'k', n }, ...rest });

/** Messages of one key, each naming the one before. */
function chain(count: number, at?: Date): ReturnType<typeof wire>[] {
  const wires: ReturnType<typeof wire>[] = [];
  for (let n = 1; n <= count; n += 1) {
    const before = wires.at(-1);
    wires.push(
      numbered(n, before === undefined ? {} : { predecessor: { id: before.id, ...(at === undefined ? {} : { at }) } }),
    );
  }
  return wires;
}

const notes = async (): Promise<readonly string[]> => (await lab.effects()).map(({ note }) => note);
const DONE = { kind: 'done' };

/** When a predecessor was sent that the consumer has to know, because it first ran before, however slow this machine is. */
const sinceThen = (): Date => new Date(Date.now() + 3_600_000);

/** The consumer has been running for a year. */
async function longRunning(): Promise<void> {
  await lab.test.pool.query(
    `INSERT INTO holdfast.delivery_attempt (consumer, message_id, attempts, at)
     VALUES ('shipping', '00000000-0000-0000-0000-000000000000', 0, now() - interval '1 year')`,
  );
}

describe('behind a failure', () => {
  it('parks later messages of the key behind it, and redrives them in order', async () => {
    const consumer = make();
    broken.add(1);
    const wires = [1, 2, 3].map((n) => numbered(n));
    for (const sent of wires) expect(await consumer.handle(delivery(sent))).toEqual(DONE);
    await consumer.handle(delivery(wire({ key: 'other', data: { orderId: 'other', n: 9 } })));
    expect(await lab.parked()).toMatchObject([
      { message_id: wires[0]?.id, state: 'failed' },
      { message_id: wires[1]?.id, state: 'behind', next_attempt_at: null },
      { message_id: wires[2]?.id, state: 'behind', next_attempt_at: null },
    ]);
    expect(await notes()).toEqual(['9']);
    broken.clear();
    await consumer.tickParked();
    expect(await lab.parked()).toEqual([]);
    expect(await notes()).toEqual(['9', '1', '2', '3']);
    await consumer.handle(delivery(numbered(4)));
    expect(await notes()).toEqual(['9', '1', '2', '3', '4']);
  });

  it('keeps order when the next one fails as well', async () => {
    const consumer = make({ parkedRetry: { attempts: 1 } });
    broken.add(1).add(2);
    for (const n of [1, 2, 3]) await consumer.handle(delivery(numbered(n)));
    broken.delete(1);
    await consumer.tickParked();
    expect(await notes()).toEqual(['1']);
    expect(await lab.parked()).toMatchObject([
      { state: 'failed', redrives: 1, next_attempt_at: null },
      { state: 'behind' },
    ]);
    await consumer.handle(delivery(numbered(4)));
    broken.clear();
    await consumer.tickParked();
    expect(await notes()).toEqual(['1']);
    await retryParkedDeliveries(lab.database, 'shipping', { all: true }, { actor: 'ann' });
    await consumer.tickParked();
    expect(await notes()).toEqual(['1', '2', '3', '4']);
  });

  it('holds with several processes redriving', async () => {
    const consumers = [make(), make(), make()];
    broken.add(1);
    for (let n = 1; n <= 12; n += 1) await consumers[n % 3]?.handle(delivery(numbered(n)));
    broken.clear();
    await Promise.all(consumers.map((consumer) => consumer.tickParked()));
    // One that found the line locked has put its row off for a second: it is made due by hand.
    for (let round = 0; (await lab.parked()).length > 0 && round < 20; round += 1) {
      await retryParkedDeliveries(lab.database, 'shipping', { all: true }, { actor: 'test' });
      await lab.test.pool.query(
        "UPDATE holdfast.parked_delivery SET next_attempt_at = now() WHERE state = 'behind' AND next_attempt_at IS NOT NULL",
      );
      await consumers[0]?.tickParked();
    }
    expect(await notes()).toEqual(Array.from({ length: 12 }, (_, index) => String(index + 1)));
  });

  it('lets nobody of the key in while one of it is being redriven', async () => {
    const running = signal();
    const goOn = signal();
    let slow = false;
    const options = {
      handlers: [
        on(Placed, async (order, context) => {
          await effect(order, context);
          if (!slow) return;
          running.fire();
          await goOn.promise;
        }),
      ],
    };
    const consumer = make(options);
    broken.add(1);
    await consumer.handle(delivery(numbered(1)));
    broken.clear();
    slow = true;
    const redrive = consumer.tickParked();
    await running.promise;
    expect(await make(options).handle(delivery(numbered(2)))).toMatchObject({ kind: 'later' });
    goOn.fire();
    await redrive;
    expect(await notes()).toEqual(['1']);
  });

  it('redrives nothing of a key while a delivery of it is decided on', async () => {
    const consumer = make();
    broken.add(1);
    await consumer.handle(delivery(numbered(1)));
    broken.clear();
    await lab.database.transaction(async (other) => {
      await other.query('SELECT pg_advisory_xact_lock($1::bigint)', [keyLock('shipping', 'k')]);
      await consumer.tickParked();
      expect(await notes()).toEqual([]);
    });
    expect(await lab.parked()).toMatchObject([{ redrives: 0, attempts: 1 }]);
    await retryParkedDeliveries(lab.database, 'shipping', { all: true }, { actor: 'ann' });
    await consumer.tickParked();
    expect(await notes()).toEqual(['1']);
  });

  it('goes on with the next when the first is discarded', async () => {
    const consumer = make();
    broken.add(1);
    const wires = [1, 2].map((n) => numbered(n));
    for (const sent of wires) await consumer.handle(delivery(sent));
    await discardParkedDelivery(lab.database, 'shipping', wires[0]?.id ?? '', { actor: 'ann', reason: 'hopeless' });
    await consumer.tickParked();
    expect(await notes()).toEqual(['2']);
  });

  it('retries the first of the key when asked for one behind it', async () => {
    const consumer = make({ parkedRetry: { attempts: 1 } });
    broken.add(1);
    const wires = [1, 2].map((n) => numbered(n));
    for (const sent of wires) await consumer.handle(delivery(sent));
    await consumer.tickParked();
    broken.clear();
    expect(await retryParkedDeliveries(lab.database, 'shipping', { id: wires[1]?.id ?? '' }, { actor: 'ann' })).toBe(1);
    await consumer.tickParked();
    expect(await notes()).toEqual(['1', '2']);
  });

  it('recognises duplicates of parked, waiting and handled messages', async () => {
    const consumer = make();
    const [zero, ...wires] = [0, 1, 2].map((n) => numbered(n));
    broken.add(1);
    for (const sent of [zero, ...wires]) await consumer.handle(delivery(sent?.text ?? ''));
    for (const sent of [zero, ...wires]) expect(await consumer.handle(delivery(sent?.text ?? ''))).toEqual(DONE);
    expect(await lab.parked()).toHaveLength(2);
    expect(await notes()).toEqual(['0']);
  });

  it('does not line up messages without a key', async () => {
    const consumer = make();
    broken.add(1);
    for (const n of [1, 2]) await consumer.handle(delivery(numbered(n, { key: null })));
    expect(await notes()).toEqual(['2']);
  });
});

describe('predecessors', () => {
  it('hold a message that comes too early', async () => {
    await longRunning();
    const consumer = make();
    const [first, second] = chain(2);
    expect(await consumer.handle(delivery(first?.text ?? ''))).toEqual(DONE);
    await lab.test.pool.query('DELETE FROM holdfast.inbox');
    expect(await consumer.handle(delivery(second?.text ?? ''))).toMatchObject({ kind: 'later' });
    expect(await notes()).toEqual(['1']);
    await consumer.handle(delivery(first?.text ?? ''));
    expect(await consumer.handle(delivery(second?.text ?? ''))).toEqual(DONE);
    expect(await notes()).toEqual(['1', '1', '2']);
  });

  it('are not asked of a duplicate', async () => {
    const consumer = make();
    const [first, second] = chain(2);
    for (const sent of [first, second]) await consumer.handle(delivery(sent?.text ?? ''));
    await lab.test.pool.query('DELETE FROM holdfast.inbox WHERE message_id = $1', [first?.id]);
    expect(await consumer.handle(delivery(second?.text ?? ''))).toEqual(DONE);
    expect(await notes()).toEqual(['1', '2']);
  });

  it('that are parked have their successors parked behind them', async () => {
    const consumer = make();
    broken.add(1);
    const wires = chain(3);
    for (const sent of wires) expect(await consumer.handle(delivery(sent))).toEqual(DONE);
    broken.clear();
    await consumer.tickParked();
    expect(await notes()).toEqual(['1', '2', '3']);
  });

  it('that are too old to be remembered are not waited for', async () => {
    await longRunning();
    const old = numbered(2, { predecessor: { id: randomUUID(), at: new Date(Date.now() - 3 * 86_400_000) } });
    const consumer = make({ retention: '2d' });
    expect(await consumer.handle(delivery(old))).toEqual(DONE);
    const recent = numbered(3, { predecessor: { id: randomUUID(), at: new Date(Date.now() - 86_400_000) } });
    expect(await consumer.handle(delivery(recent))).toMatchObject({ kind: 'later' });
  });

  it('from before the consumer first ran are not waited for', async () => {
    const early = numbered(1, { predecessor: { id: randomUUID(), at: new Date(Date.now() - 60_000) } });
    expect(await make().handle(delivery(early))).toEqual(DONE);
    // And a restart does not forget when that was.
    const again = numbered(2, { predecessor: { id: randomUUID(), at: new Date(Date.now() - 60_000) } });
    expect(await make().handle(delivery(again))).toEqual(DONE);
    const late = numbered(3, { predecessor: { id: randomUUID(), at: sinceThen() } });
    expect(await make().handle(delivery(late))).toMatchObject({ kind: 'later' });
  });

  it('that never come are given up on: the message is parked, and the predecessor, coming late, goes first', async () => {
    const clock = manualClock();
    const consumer = make({ clock, predecessorWait: '1m' });
    const [first, second, third] = chain(3, sinceThen());
    expect(await consumer.handle(delivery(second?.text ?? ''))).toMatchObject({ kind: 'later' });
    await clock.advance('1m');
    expect(await consumer.handle(delivery(second?.text ?? ''))).toEqual(DONE);
    expect(await lab.parked()).toMatchObject([
      { message_id: second?.id, state: 'failed', reason: 'predecessor missing', attempts: 0 },
    ]);
    expect(await consumer.handle(delivery(third?.text ?? ''))).toEqual(DONE);
    expect(await consumer.handle(delivery(first?.text ?? ''))).toEqual(DONE);
    expect(await notes()).toEqual(['1']);
    await consumer.tickParked();
    expect(await notes()).toEqual(['1', '2', '3']);
    expect(await lab.parked()).toEqual([]);
  });

  it('that were lost come again by a replay, in order, and the line goes on behind them', async () => {
    const clock = manualClock();
    const consumer = make({ clock, predecessorWait: 0 });
    await longRunning();
    const start = Date.now() - 60_000;
    const wires: ReturnType<typeof wire>[] = [];
    for (let n = 1; n <= 5; n += 1) {
      const before = wires.at(-1);
      wires.push(
        numbered(n, { time: new Date(start + n), ...(before === undefined ? {} : { predecessor: { id: before.id } }) }),
      );
    }
    // 1 to 3 are gone; 4 is parked for want of 3, and 5 behind it.
    for (const sent of wires.slice(3)) await consumer.handle(delivery(sent));
    expect(await lab.parked()).toMatchObject([{ reason: 'predecessor missing' }, { state: 'behind' }]);
    // A replay names no predecessors.
    for (const [index, sent] of wires.slice(0, 3).entries()) {
      const replayed = wire({
        id: sent.id,
        key: 'k',
        time: new Date(start + index + 1),
        data: { orderId: 'k', n: index + 1 },
      });
      expect(await consumer.handle(delivery(replayed))).toEqual(DONE);
    }
    await consumer.tickParked();
    expect(await notes()).toEqual(['1', '2', '3', '4', '5']);
  });

  it('can be waived by a person', async () => {
    const clock = manualClock();
    const consumer = make({ clock, predecessorWait: 0, parkedRetry: { attempts: 1 } });
    const [, second] = chain(2, sinceThen());
    await consumer.handle(delivery(second?.text ?? ''));
    await consumer.tickParked();
    expect(await lab.parked()).toMatchObject([{ reason: 'predecessor missing', redrives: 1, next_attempt_at: null }]);
    await retryParkedDeliveries(
      lab.database,
      'shipping',
      { id: second?.id ?? '' },
      { actor: 'ann', withoutPredecessor: true },
    );
    await consumer.tickParked();
    expect(await notes()).toEqual(['2']);
  });

  it('of a topic that is ignored here are seen all the same', async () => {
    const consumer = make({ ignore: ['order.cancelled'] });
    const foreign = numbered(1, { type: 'order.cancelled' });
    await consumer.handle(delivery(foreign));
    const next = numbered(2, { predecessor: { id: foreign.id, at: sinceThen() } });
    expect(await consumer.handle(delivery(next))).toEqual(DONE);
    expect(await notes()).toEqual(['2']);
  });
});

it('refuses kinds that leave no mark', () => {
  expect(() => make({ handlers: [on(Shipped, () => {}, { kind: 'idempotent' })] })).toThrow(
    /ordered, but handles order.shipped/,
  );
});
