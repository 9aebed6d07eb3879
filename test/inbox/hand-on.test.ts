/**
 * Messages of topics that only some processes of a consumer have a handler for, as during every deployment: none is acknowledged unread,
 * marked unread, or counted as failed by a process that does not know it.
 */
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { on, type HandlerContext } from '../../src/inbox/handlers/handler.ts';
import { retryParkedDeliveries } from '../../src/inbox/stores/parked-operations.ts';
import { message } from '../../src/message/message-type.ts';
import { doctor } from '../../src/operations/doctor/doctor.ts';
import { listParked } from '../../src/operations/parked/parked.ts';
import { relayStatus } from '../../src/operations/relay/relay-status.ts';
import { createMemoryBroker, createMemoryTransport } from '../../src/transport/memory.ts';
import { eventually } from '../support/eventually.ts';
import { clean, delivery, openLab, Placed, wire, type Lab } from './lab.ts';

const Cancelled = message('order.cancelled', { schema: z.object({ orderId: z.string(), n: z.number() }) });
const DONE = { kind: 'done' };

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(() => clean(lab));
afterAll(() => lab.dispose());

async function effect(order: { readonly n: number }, { tx, message: { id } }: HandlerContext<PoolClient>) {
  await tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [id, String(order.n)]);
}

const old = [on(Placed, effect)];
const current = [on(Placed, effect), on(Cancelled, effect)];

describe.each([false, true])('an old and a new process on one queue, ordered: %s', (ordered) => {
  it('have all of it handled once, by whoever can', async () => {
    const broker = createMemoryBroker();
    const both = [old, current].map((handlers) =>
      // This broker gives what came back to whoever asked first, again and again: some of it will have to be parked.
      lab.make({ handlers, ordered, handlerWait: 500, parkedPoll: 20, transport: createMemoryTransport({ broker }) }),
    );
    await Promise.all(both.map((consumer) => consumer.start()));
    const batch = Array.from({ length: 50 }, (_, n) => {
      const key = `k${n % 10}`;
      const topic = n % 2 === 0 ? 'order.cancelled' : 'order.placed';
      const sent = wire({ key, type: topic, data: { orderId: 'o', n } });
      return { id: sent.id, topic, key, destination: 'shipping', wire: sent.text, replayId: null };
    });
    await createMemoryTransport({ broker }).publisher().publish(batch, { signal: new AbortController().signal });
    await eventually('all to be handled', async () => (await lab.effects()).length === batch.length);
    await eventually('the queue to be empty', async () => broker.pending('shipping') === 0);
    await Promise.all(both.map((consumer) => consumer.stop()));
    expect((await lab.effects()).map(({ id }) => id).toSorted()).toEqual(batch.map(({ id }) => id).toSorted());
    expect(await lab.parked()).toEqual([]);
    if (!ordered) return;
    const notes = (await lab.effects()).map(({ note }) => Number(note));
    for (let key = 0; key < 10; key += 1) {
      const ofKey = notes.filter((n) => n % 10 === key);
      expect(ofKey).toEqual(ofKey.toSorted((a, b) => a - b));
    }
  });

  it('parked by the old one, it is taken up by the new one, in order', async () => {
    const [older, newer] = [old, current].map((handlers) => lab.make({ handlers, ordered, handlerWait: 0 }));
    const [cancelled, placed] = [
      wire({ key: 'k', type: 'order.cancelled', data: { orderId: 'o', n: 1 } }),
      wire({ key: 'k', data: { orderId: 'o', n: 2 } }),
    ];
    expect(await older?.handle(delivery(cancelled))).toEqual(DONE);
    expect(await older?.handle(delivery(placed))).toEqual(DONE);
    const inLine = await listParked(lab.database, { key: 'k' });
    expect(inLine.map(({ state, reason }) => [state, reason])).toEqual([
      ['failed', 'no handler'],
      ...(ordered ? [['behind', 'behind an earlier message of its key']] : []),
    ]);
    await older?.tickParked();
    await newer?.tickParked();
    expect((await lab.effects()).map(({ note }) => note)).toEqual(ordered ? ['1', '2'] : ['2', '1']);
    expect(await lab.parked()).toEqual([]);
    // Duplicates and replays are recognised, also by the process without the handler.
    expect(await older?.handle(delivery(cancelled))).toEqual(DONE);
    expect(await newer?.handle(delivery(cancelled))).toEqual(DONE);
    expect(await lab.effects()).toHaveLength(2);
  });
});

it('a process without the handler neither takes up nor counts what another one parked', async () => {
  let works = false;
  const newer = lab.make({
    retry: { attempts: 1 },
    handlers: [
      on(Cancelled, async (order, context) => {
        if (!works) throw new Error('not now');
        await effect(order, context);
      }),
    ],
  });
  const older = lab.make({ handlers: old });
  const sent = wire({ type: 'order.cancelled' });
  await newer.handle(delivery(sent));
  for (let n = 0; n < 20; n += 1) {
    await retryParkedDeliveries(lab.database, 'shipping', { id: sent.id }, { actor: 'ann' });
    await older.tickParked();
  }
  expect(await lab.parked()).toMatchObject([{ reason: 'gave up after retries', redrives: 0 }]);
  works = true;
  await newer.tickParked();
  expect(await lab.effects()).toHaveLength(1);
});

it('a retry by hand where nobody has the handler leaves the message to the first that has', async () => {
  const older = lab.make({ handlers: old, handlerWait: 0 });
  const sent = wire({ type: 'order.cancelled' });
  await older.handle(delivery(sent));
  for (let n = 0; n < 20; n += 1) {
    await retryParkedDeliveries(lab.database, 'shipping', { id: sent.id }, { actor: 'ann' });
    await older.tickParked();
  }
  expect(await lab.parked()).toMatchObject([{ reason: 'no handler', redrives: 0, attempts: 0 }]);
  await lab.make({ handlers: current }).tickParked();
  expect(await lab.effects()).toHaveLength(1);
});

it('what no process has a handler for is found by the doctor, with its topics, and is no dead letter', async () => {
  const older = lab.make({ handlers: old, handlerWait: 0 });
  for (const type of ['order.cancelled', 'order.lost', 'order.lost']) await older.handle(delivery(wire({ type })));
  expect(
    (await doctor(lab.database)).findings.filter(({ check }) => check.startsWith('flow.no-handler')),
  ).toMatchObject([
    {
      level: 'warn',
      what: expect.stringMatching(/shipping has 3 parked messages .*: order\.cancelled, order\.lost\.$/),
    },
  ]);
  // As `parked ls` says it: it goes on by itself as soon as somebody can.
  expect((await relayStatus(lab.database)).consumers).toMatchObject([{ consumer: 'shipping', failed: 3, dead: 0 }]);
  const handlers = [...current, on(message('order.lost', { schema: z.unknown() }), () => {})];
  await lab.make({ handlers }).tickParked();
  expect((await doctor(lab.database)).findings.map(({ check }) => check)).not.toContain('flow.no-handler');
});
