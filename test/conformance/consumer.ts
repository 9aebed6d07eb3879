/**
 * What consumers do with deliveries, whatever keeps their marks and what they have parked. Run on PostgreSQL and in memory
 * (test/testing/messages/consumer-conformance.test.ts), so that tests of services in memory tell of production.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PermanentError } from '../../src/errors.ts';
import type { CommonConsumerOptions } from '../../src/inbox/consumer-options.ts';
import type { Consumer } from '../../src/inbox/consumer.ts';
import type { HandlerContext, HandlerOptions } from '../../src/inbox/handlers/handler.ts';
import { delivery, Shipped, wire } from '../inbox/lab.ts';

export interface PlacedContext extends Pick<HandlerContext<unknown>, 'message' | 'attempt' | 'send' | 'signal'> {
  /** An effect in the transaction of the handler. */
  readonly note: (text: string) => Promise<void>;
}

export type HandlePlaced = (order: { readonly orderId: string; readonly n: number }, context: PlacedContext) => unknown;

export interface ConsumerGround {
  readonly consumer: Consumer;
  /** Effects that are committed, oldest first. */
  readonly effects: () => Promise<readonly string[]>;
  /** Ids of messages that are committed to the outbox. */
  readonly sent: () => Promise<readonly string[]>;
  /** First to last. */
  readonly parked: () => Promise<readonly { readonly id: string; readonly state: string; readonly reason: string }[]>;
  /** All that is parked and failed is due now. */
  readonly makeDue: () => Promise<void>;
}

export interface ConsumerHarness {
  /** A consumer of a new name with one handler, of order.placed. It waits nowhere. */
  make(handle: HandlePlaced, options?: Partial<CommonConsumerOptions>, handlerOptions?: HandlerOptions): ConsumerGround;
  dispose(): Promise<void>;
}

const DONE = { kind: 'done' };

export function describeConsumer(name: string, open: () => Promise<ConsumerHarness>): void {
  describe(`a consumer ${name}`, () => {
    let harness: ConsumerHarness;
    beforeAll(async () => {
      harness = await open();
    });
    afterAll(() => harness.dispose());

    it('has the effect of a message once, however often and at how many places it comes', async () => {
      const { consumer, effects } = harness.make((_, { note }) => note('once'));
      const twice = wire();
      await Promise.all([consumer.handle(delivery(twice)), consumer.handle(delivery(twice))]);
      expect(await consumer.handle(delivery(twice))).toEqual(DONE);
      expect(await effects()).toEqual(['once']);
    });

    it('has the second copy wait for the first, and run when that is rolled back', async () => {
      const { consumer, effects } = harness.make(
        async (_, { note, message, attempt }) => {
          await note(`${message.headers['copy'] ?? ''}attempt ${attempt}`);
          if (runs++ === 0) throw new Error('first');
        },
        { retry: { attempts: 1 } },
      );
      let runs = 0;
      const twice = wire();
      const verdicts = await Promise.all([consumer.handle(delivery(twice)), consumer.handle(delivery(twice))]);
      expect(verdicts).toEqual([DONE, DONE]);
      // Parked by the one and handled by the other, or recognised: never both effects.
      expect((await effects()).length).toBeLessThanOrEqual(1);
    });

    it('takes back effect and messages of an attempt that failed', async () => {
      const { consumer, effects, sent } = harness.make(async (_, { note, attempt, send }) => {
        await note(`attempt ${attempt}`);
        await send(Shipped, { orderId: 'o-1' });
        if (attempt < 3) throw new Error('not yet');
      });
      expect(await consumer.handle(delivery(wire()))).toEqual(DONE);
      expect(await effects()).toEqual(['attempt 3']);
      expect((await sent()).length).toBe(1);
    });

    it('parks what gives up, drops its duplicates, and handles it once when it is due', async () => {
      let broken = true;
      const { consumer, effects, parked, makeDue } = harness.make(
        (_, { note }) => (broken ? Promise.reject(new Error('broken')) : note('handled')),
        { retry: { attempts: 2 } },
      );
      const given = wire();
      expect(await consumer.handle(delivery(given))).toEqual(DONE);
      expect(await parked()).toEqual([{ id: given.id, state: 'failed', reason: 'gave up after retries' }]);
      broken = false;
      await consumer.handle(delivery(given));
      expect(await effects()).toEqual([]);
      await makeDue();
      await consumer.tickParked();
      expect(await effects()).toEqual(['handled']);
      expect(await parked()).toEqual([]);
      await consumer.handle(delivery(given));
      expect(await effects()).toEqual(['handled']);
    });

    it('parks a permanent failure at the first attempt', async () => {
      let runs = 0;
      const { consumer, parked } = harness.make(() => {
        runs += 1;
        throw new PermanentError('never');
      });
      await consumer.handle(delivery(wire()));
      expect({ runs, parked: (await parked()).map(({ reason }) => reason) }).toEqual({
        runs: 1,
        parked: ['permanent error'],
      });
    });

    it('parks what cannot be read, under an id of its own', async () => {
      const { consumer, parked } = harness.make(() => undefined);
      await consumer.handle(delivery('no JSON'));
      await consumer.handle(delivery('no JSON'));
      expect((await parked()).map(({ reason }) => reason)).toEqual(['cannot be decoded']);
    });

    it('gives back what it has no handler for, then parks it', async () => {
      const { consumer, parked } = harness.make(() => undefined);
      expect(await consumer.handle(delivery(wire({ type: 'order.lost' })))).toMatchObject({ kind: 'later' });
      const old = wire({ type: 'order.lost', time: new Date(Date.now() - 3_600_000) });
      expect(await consumer.handle(delivery(old))).toEqual(DONE);
      expect(await parked()).toEqual([{ id: old.id, state: 'failed', reason: 'no handler' }]);
    });

    it('runs an idempotent handler for each copy', async () => {
      const { consumer, effects } = harness.make((_, { note }) => note('again'), {}, { kind: 'idempotent' });
      const twice = wire();
      await consumer.handle(delivery(twice));
      await consumer.handle(delivery(twice));
      expect(await effects()).toEqual(['again', 'again']);
    });

    it('never runs an at-most-once handler again', async () => {
      let runs = 0;
      const { consumer, effects, parked } = harness.make(
        () => {
          runs += 1;
          throw new Error('lost');
        },
        {},
        { kind: 'at-most-once' },
      );
      const given = wire();
      expect(await consumer.handle(delivery(given))).toEqual(DONE);
      expect(await consumer.handle(delivery(given))).toEqual(DONE);
      expect({ runs, effects: await effects(), parked: await parked() }).toEqual({ runs: 1, effects: [], parked: [] });
    });

    it('parks a message that keeps coming back from dead processes', async () => {
      const dying = harness.make(() => undefined, {
        ...({ crashPoint: dieAt('inbox.handler:before') } as object),
      });
      const given = wire();
      for (let n = 1; n <= 3; n += 1)
        await expect(dying.consumer.handle(delivery(given, { redeliveries: n }))).rejects.toThrow('stopped at');
      expect(await dying.consumer.handle(delivery(given, { redeliveries: 4 }))).toEqual(DONE);
      expect((await dying.parked()).map(({ reason }) => reason)).toEqual(['crashed the consumer']);
    });

    it('keeps the order of a key behind a parked message, and lets it go on in order', async () => {
      let broken = true;
      const { consumer, effects, parked, makeDue } = harness.make(
        ({ n }, { note }) => (broken && n === 1 ? Promise.reject(new Error('broken')) : note(String(n))),
        { ordered: true, retry: { attempts: 1 } },
      );
      const [first, second, third] = inLine(3);
      for (const each of [first, second, third]) await consumer.handle(delivery(each));
      await consumer.handle(delivery(wire({ key: 'other', data: { orderId: 'other', n: 9 } })));
      expect((await parked()).map(({ id, state }) => ({ id, state }))).toEqual([
        { id: first.id, state: 'failed' },
        { id: second.id, state: 'behind' },
        { id: third.id, state: 'behind' },
      ]);
      broken = false;
      await makeDue();
      await consumer.tickParked();
      expect(await effects()).toEqual(['9', '1', '2', '3']);
      expect(await parked()).toEqual([]);
    });

    it('has a message wait for its predecessor, and lets that one in before those that were parked for it', async () => {
      const { consumer, effects, parked } = harness.make(({ n }, { note }) => note(String(n)), { ordered: true });
      const [first, second] = inLine(2, new Date());
      expect(await consumer.handle(delivery(second))).toMatchObject({ kind: 'later' });
      await consumer.handle(delivery(first));
      expect(await consumer.handle(delivery(second))).toEqual(DONE);
      const [fourth, fifth, sixth] = inLine(3, new Date(Date.now() - 3_600_000));
      for (const each of [fifth, sixth]) expect(await consumer.handle(delivery(each))).toEqual(DONE);
      expect(await parked()).toEqual([
        { id: fifth.id, state: 'failed', reason: 'predecessor missing' },
        { id: sixth.id, state: 'behind', reason: 'behind an earlier message of its key' },
      ]);
      await consumer.handle(delivery(fourth));
      await consumer.tickParked();
      expect(await effects()).toEqual(['1', '2', '1', '2', '3']);
      expect(await parked()).toEqual([]);
    });

    it('does one of a key at a time', async () => {
      let running = 0;
      let most = 0;
      const { consumer } = harness.make(
        async () => {
          running += 1;
          most = Math.max(most, running);
          await new Promise((resolve) => setImmediate(resolve));
          running -= 1;
        },
        { ordered: true },
      );
      const all = [wire({ key: 'k' }), wire({ key: 'k' })];
      const verdicts = await Promise.all(all.map((each) => consumer.handle(delivery(each))));
      expect(most).toBe(1);
      expect(verdicts.filter(({ kind }) => kind === 'done').length).toBeGreaterThanOrEqual(1);
    });
  });
}

function dieAt(wanted: string): (point: string) => void {
  return (point) => {
    if (point === wanted) throw new Error('the process dies here');
  };
}

type Given = ReturnType<typeof wire>;

/** Messages of a key of their own, each naming the one before it. */
function inLine(count: number, from = new Date()): [Given, Given, Given] {
  const key = randomUUID();
  const all: Given[] = [];
  for (let n = 1; n <= count; n += 1) {
    const before = all.at(-1);
    const at = new Date(from.getTime() + n);
    const predecessor = before === undefined ? {} : { predecessor: { id: before.id, at, sentAt: at, followedAt: at } };
    all.push(wire({ key, data: { orderId: key, n }, time: at, ...predecessor }));
  }
  return all as [Given, Given, Given];
}
