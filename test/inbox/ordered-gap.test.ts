/**
 * A key whose first parked message waits for a predecessor, when what it waits for comes and fails itself; and how long such a
 * message may hold others up.
 */
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Consumer } from '../../src/inbox/consumer.ts';
import type { DatabaseConsumerOptions } from '../../src/inbox/consumer-options.ts';
import { on, type HandlerContext } from '../../src/inbox/handlers/handler.ts';
import { discardParkedDelivery, retryParkedDeliveries } from '../../src/inbox/stores/parked-operations.ts';
import { clean, delivery, manualClock, openLab, Placed, wire, type Lab } from './lab.ts';

let lab: Lab;
const broken = new Set<number>();
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(async () => {
  broken.clear();
  await clean(lab);
  // The consumer has been running for a year.
  await lab.test.pool.query(
    `INSERT INTO holdfast.delivery_attempt (consumer, message_id, attempts, at)
     VALUES ('shipping', '00000000-0000-0000-0000-000000000000', 0, now() - interval '1 year')`,
  );
});
afterAll(() => lab.dispose());

async function effect(order: { readonly n: number }, { tx, message }: HandlerContext<PoolClient>): Promise<void> {
  if (broken.has(order.n)) throw new Error(`${order.n} is broken`);
  await tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, String(order.n)]);
}

const make = (options: Partial<DatabaseConsumerOptions> = {}): Consumer =>
  lab.make({ ordered: true, retry: { attempts: 1 }, predecessorWait: 0, handlers: [on(Placed, effect)], ...options });

/** 1 to `count` of one key, sent a second apart in the last minute, each naming the one before. */
function chain(count: number): ReturnType<typeof wire>[] {
  const wires: ReturnType<typeof wire>[] = [];
  for (let n = 1; n <= count; n += 1) {
    const time = new Date(Date.now() - (60 - n) * 1_000);
    const before = wires.at(-1);
    const predecessor = before === undefined ? {} : { predecessor: { id: before.id, at: time } };
    wires.push(wire({ key: 'k', time, data: { orderId: 'k', n }, ...predecessor }));
  }
  return wires;
}

const notes = async (): Promise<readonly string[]> => (await lab.effects()).map(({ note }) => note);

async function give(
  consumer: Consumer,
  wires: readonly ReturnType<typeof wire>[],
  ...numbers: number[]
): Promise<void> {
  for (const n of numbers) expect(await consumer.handle(delivery(wires[n - 1]?.text ?? ''))).toEqual({ kind: 'done' });
}

/** What a person would do, and time. */
async function redriveAll(consumer: Consumer): Promise<void> {
  await retryParkedDeliveries(lab.database, 'shipping', { all: true }, { actor: 'ann' });
  await consumer.tickParked();
}

it('a predecessor that comes late and fails stands before the message that waits for it', async () => {
  const consumer = make({ parkedRetry: { attempts: 1 } });
  const wires = chain(3);
  await give(consumer, wires, 2, 3);
  await consumer.tickParked();
  broken.add(1);
  await give(consumer, wires, 1);
  expect((await lab.parked()).map(({ message_id }) => message_id)).toEqual(wires.map(({ id }) => id));
  expect(await notes()).toEqual([]);
  broken.clear();
  // Only the first is made due: its success takes the others along, though the redrives of 2 had come to their end.
  await retryParkedDeliveries(lab.database, 'shipping', { id: wires[0]?.id ?? '' }, { actor: 'ann' });
  await consumer.tickParked();
  expect(await notes()).toEqual(['1', '2', '3']);
});

it('a replay of which one fails and others line up behind it goes before the message that waits', async () => {
  const consumer = make({ parkedRetry: { attempts: 1 } });
  const wires = chain(6);
  await give(consumer, wires, 5, 6);
  await consumer.tickParked();
  broken.add(2);
  await give(consumer, wires, 1, 2, 3, 4);
  expect(await notes()).toEqual(['1']);
  broken.clear();
  await redriveAll(consumer);
  expect(await notes()).toEqual(['1', '2', '3', '4', '5', '6']);
  expect(await lab.parked()).toEqual([]);
});

it.each([
  ['with a gap behind what waits', [2, 6, 1, 3, 4, 5]],
  ['with a gap that is filled in two parts', [2, 6, 1, 4, 5, 3]],
  ['with what two losses have left', [5, 6, 2, 3, 4, 1]],
  ['the last first', [6, 5, 4, 3, 2, 1]],
  ['what is waited for behind its own predecessor', [4, 2, 3, 6, 1, 5]],
])('the line of a key goes on in the order in which it was sent: %s', async (_, order) => {
  const consumer = make();
  const wires = chain(6);
  await give(consumer, wires, ...order);
  for (let round = 0; round < 12; round += 1) await consumer.tickParked();
  expect(await notes()).toEqual(['1', '2', '3', '4', '5', '6']);
  expect(await lab.parked()).toEqual([]);
});

it('a message that was parked for want of its predecessor waits for it, however old both become', async () => {
  const clock = manualClock();
  const consumer = make({ clock, retention: '2d' });
  const wires = chain(3);
  await give(consumer, wires, 2, 3);
  expect((await lab.parked()).map(({ reason }) => reason)).toEqual([
    'predecessor missing',
    'behind an earlier message of its key',
  ]);
  // Later than marks are kept: of a message that comes only now nobody could tell whether the one before it was handled.
  await clock.advance(3 * 86_400_000);
  await redriveAll(consumer);
  expect(await notes()).toEqual([]);
  await give(consumer, wires, 1);
  await consumer.tickParked();
  expect(await notes()).toEqual(['1', '2', '3']);
});

it('two that name each other do not wait for each other', async () => {
  const consumer = make();
  const [first, second] = [new Date(Date.now() - 2_000), new Date(Date.now() - 1_000)];
  const ids = ['0197a3c2-5b1e-7cc3-98c4-dc0c0c073981', '0197a3c2-5b1e-7cc3-98c4-dc0c0c073982'] as const;
  const named = (n: number, time: Date, id: string, predecessor: { id: string; at: Date }): ReturnType<typeof wire> =>
    wire({ id, key: 'k', time, data: { orderId: 'k', n }, predecessor });
  const wires = [
    named(1, first, ids[0], { id: ids[1], at: second }),
    named(2, second, ids[1], { id: ids[0], at: first }),
  ];
  await give(consumer, wires, 1, 2);
  for (let round = 0; round < 4; round += 1) await consumer.tickParked();
  expect(await notes()).toEqual(['1', '2']);
});

it('a predecessor that is discarded lets the message that waits for it go', async () => {
  const consumer = make({ parkedRetry: { attempts: 1 } });
  const wires = chain(2);
  await give(consumer, wires, 2);
  await consumer.tickParked();
  broken.add(1);
  await give(consumer, wires, 1);
  await discardParkedDelivery(lab.database, 'shipping', wires[0]?.id ?? '', { actor: 'ann', reason: 'test' });
  await consumer.tickParked();
  expect(await notes()).toEqual(['2']);
});

it('a message that waits holds others up no longer than its wait, however many keys have lost a predecessor', async () => {
  const consumer = make({ predecessorWait: '1m' });
  const orphan = (key: string, ageMs: number): ReturnType<typeof wire> =>
    wire({
      key,
      time: new Date(Date.now() - ageMs),
      data: { orderId: key, n: 2 },
      predecessor: { id: '0197a3c2-5b1e-7cc3-98c4-dc0c0c07398f', at: new Date(Date.now() - ageMs) },
    });
  // Behind one that waited for a minute stand those that were sent in that minute: theirs is over as well, or soon.
  expect(await consumer.handle(delivery(orphan('a', 61_000)))).toEqual({ kind: 'done' });
  expect(await consumer.handle(delivery(orphan('b', 60_000)))).toEqual({ kind: 'done' });
  expect(await consumer.handle(delivery(orphan('c', 1_000)))).toMatchObject({ kind: 'later' });
  expect(await lab.parked()).toMatchObject([{ reason: 'predecessor missing' }, { reason: 'predecessor missing' }]);
});
