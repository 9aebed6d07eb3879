/**
 * What gives up is parked, visibly, and taken up again: by itself, by a person, or never.
 */
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { PermanentError } from '../../src/errors.ts';
import { on, type Handler } from '../../src/inbox/handlers/handler.ts';
import { discardParkedDelivery, retryParkedDeliveries } from '../../src/inbox/stores/parked-operations.ts';
import { UNLOOKABLE } from '../support/thrown-values.ts';
import { clean, delivery, manualClock, openLab, Placed, wire, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(() => clean(lab));
afterAll(() => lab.dispose());

/** Fails until told otherwise. */
function moody(error: unknown = new Error('the warehouse is closed')): {
  readonly handler: Handler<PoolClient>;
  readonly attempts: number[];
  works: boolean;
} {
  const mood = {
    works: false,
    attempts: [] as number[],
    handler: on(Placed, async (_order, { tx, message, attempt }) => {
      mood.attempts.push(attempt);
      await tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, 'done']);
      if (!mood.works) throw error;
    }),
  };
  return mood;
}

describe('giving up', () => {
  it('parks after its attempts, with envelope, error and attempts, and acknowledges', async () => {
    const { handler, attempts } = moody();
    const sent = wire({ key: 'o-1' });
    const consumer = lab.make({ handlers: [handler] });
    expect(await consumer.handle(delivery(sent))).toEqual({ kind: 'done' });
    expect(attempts).toEqual([1, 2, 3, 4, 5]);
    const [row] = await lab.parked(sent.id);
    expect(row).toMatchObject({
      state: 'failed',
      reason: 'gave up after retries',
      error: 'Error: the warehouse is closed',
      attempts: 5,
      redrives: 0,
      envelope: JSON.parse(sent.text),
    });
    expect(row?.next_attempt_at).toBeInstanceOf(Date);
    expect(await lab.effects()).toEqual([]);
  });

  it.each([true, false].flatMap((batch) => Object.keys(UNLOOKABLE).map((name) => ({ name, batch }))))(
    'parks for $name, which cannot be looked at, in a batch: $batch',
    async ({ name, batch }) => {
      const sent = wire({ key: 'o-1' });
      const run = on(Placed, async (_order, { tx, message }) => {
        await tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, 'done']);
        if (message.id === sent.id) throw UNLOOKABLE[name]?.();
      });
      const consumer = lab.make({ batch, retry: { attempts: 2 }, handlers: [run] });
      const other = wire({ key: 'o-2' });
      const both = [sent, other].map((each) => consumer.handle(delivery(each)));
      expect(await Promise.all(both)).toEqual([{ kind: 'done' }, { kind: 'done' }]);
      expect(await lab.parked()).toMatchObject([
        { message_id: sent.id, attempts: 2, error: expect.stringContaining('What was thrown cannot be looked at') },
      ]);
      expect(await lab.effects()).toEqual([{ id: other.id, note: 'done' }]);
    },
  );

  it.each([
    ['PermanentError', new PermanentError('sold out'), 'PermanentError: [HF_PERMANENT] sold out'],
    [
      'one with a cause',
      new PermanentError('no', { cause: new Error('deep') }),
      'PermanentError: [HF_PERMANENT] no; caused by Error: deep',
    ],
  ])('does not retry what no retry can mend: %s', async (_name, error, stored) => {
    const { handler, attempts } = moody(error);
    const sent = wire();
    await lab.make({ handlers: [handler] }).handle(delivery(sent));
    expect(attempts).toEqual([1]);
    expect(await lab.parked(sent.id)).toMatchObject([
      { reason: 'permanent error', error: stored, attempts: 1, next_attempt_at: null },
    ]);
  });

  it.each([
    ['text', 'just text', 'thrown: just text'],
    ['nothing', null, 'Error: thrown: null'],
    ['something circular', circular(), 'thrown: a object'],
    ['NUL and a lone surrogate', new Error('a\0b\uD800c'), 'Error: a\uFFFDb\uFFFDc'],
  ])('survives whatever is thrown: %s', async (_name, thrown, stored) => {
    const { handler } = moody(thrown);
    const sent = wire();
    expect(await lab.make({ handlers: [handler], retry: { attempts: 1 } }).handle(delivery(sent))).toEqual({
      kind: 'done',
    });
    expect((await lab.parked(sent.id))[0]?.error).toBe(stored);
  });

  it('cuts long errors', async () => {
    const { handler } = moody(new Error('€'.repeat(5_000)));
    const sent = wire();
    await lab.make({ handlers: [handler], retry: { attempts: 1 } }).handle(delivery(sent));
    const error = (await lab.parked(sent.id))[0]?.error ?? '';
    expect(Buffer.byteLength(error)).toBeLessThanOrEqual(2048);
    expect(error).toMatch(/^Error: €+\.\.\.$/);
  });

  it('parks a payload that its schema refuses, without running the handler', async () => {
    const { handler, attempts } = moody();
    const sent = wire({ data: { orderId: 'o-1', n: 'one' } });
    await lab.make({ handlers: [handler] }).handle(delivery(sent));
    expect(attempts).toEqual([]);
    expect((await lab.parked(sent.id))[0]?.error).toMatch(/HF_PAYLOAD_INVALID/);
  });

  it('keeps the time limit over all attempts', async () => {
    const clock = manualClock();
    const { handler, attempts } = moody();
    const consumer = lab.make({
      clock,
      random: () => 0.999,
      handlers: [handler],
      retry: { attempts: 100, base: '10s', cap: '10s', within: '25s' },
    });
    const verdict = consumer.handle(delivery(wire()));
    for (let wait = 0; wait < 3; wait += 1) {
      // The other sleeper is the watch over the handlers' time.
      await clock.whenSleeping(2);
      await clock.advance('10s');
    }
    await verdict;
    expect(attempts).toEqual([1, 2, 3, 4]);
  });

  it('recognises a duplicate of a parked message', async () => {
    const { handler, attempts } = moody();
    const consumer = lab.make({ handlers: [handler], retry: { attempts: 1 } });
    const sent = wire();
    await consumer.handle(delivery(sent));
    await consumer.handle(delivery(sent));
    expect(attempts).toEqual([1]);
    expect(await lab.parked()).toHaveLength(1);
  });
});

function circular(): object {
  const self: { me?: object } = {};
  self.me = self;
  return self;
}

describe('what cannot be read', () => {
  it.each([
    ['no JSON', 'not json {', /not JSON/],
    ['another format', '{"hello":"world"}', /specversion/],
    ['NUL in the payload', wire({ data: { orderId: 'a\0b', n: 'x' } }).text, /HF_PAYLOAD_INVALID/],
    ['a number beyond measure', wire().text.replace('"n":1', '"n":1e999999'), /HF_PAYLOAD_INVALID/],
    ['NUL in the key', wire({ key: 'a\0b' }).text, /HF_PAYLOAD_TEXT/],
  ])('is parked whole, and acknowledged: %s', async (_name, text, error) => {
    const { handler } = moody();
    const consumer = lab.make({ handlers: [handler] });
    expect(await consumer.handle(delivery(text))).toEqual({ kind: 'done' });
    // The same bytes again are the same message.
    expect(await consumer.handle(delivery(text))).toEqual({ kind: 'done' });
    const rows = await lab.parked();
    expect(rows).toHaveLength(1);
    expect(rows[0]?.error).toMatch(error);
    expect(rows[0]?.next_attempt_at).toBeNull();
  });

  it('can be handled once a later release reads it', async () => {
    const { handler, attempts } = moody();
    const sent = wire();
    const consumer = lab.make({ handlers: [handler] });
    await consumer.handle(delivery(sent.text.replace('"holdfast":1', '"holdfast":2')));
    expect(await lab.parked(sent.id)).toMatchObject([{ reason: 'cannot be decoded' }]);
    // Not a dead letter: the new release may be on its way.
    expect((await lab.parked(sent.id))[0]?.next_attempt_at).toBeInstanceOf(Date);
    await consumer.tickParked();
    expect(await lab.parked(sent.id)).toMatchObject([{ reason: 'cannot be decoded', redrives: 8 }]);
    expect(attempts).toEqual([]);
  });
});

describe('topics without a handler', () => {
  it('are acknowledged unread where a pattern says so, and only there', async () => {
    const consumer = lab.make({ handlers: [moody().handler], ignore: ['audit.**', 'order.*'], handlerWait: 0 });
    for (const type of ['order.cancelled', 'audit.log.written'])
      expect(await consumer.handle(delivery(wire({ type })))).toEqual({ kind: 'done' });
    expect(await lab.parked()).toEqual([]);
    await consumer.handle(delivery(wire({ type: 'order.item.added' })));
    expect(await lab.parked()).toMatchObject([{ reason: 'no handler' }]);
  });

  it('go back, and are parked when that has taken too long', async () => {
    const clock = manualClock();
    const consumer = lab.make({ handlers: [moody().handler], clock, handlerWait: '1m' });
    const sent = wire({ type: 'order.cancelled', time: new Date(clock.now()) });
    expect(await consumer.handle(delivery(sent))).toEqual({ kind: 'later', delayMs: 100 });
    await clock.advance(59_000);
    expect(await consumer.handle(delivery(sent))).toEqual({ kind: 'later', delayMs: 5_000 });
    await clock.advance(1_000);
    expect(await consumer.handle(delivery(sent))).toEqual({ kind: 'done' });
    expect(await lab.parked()).toMatchObject([{ reason: 'no handler', redrives: 0, next_attempt_at: null }]);
    expect((await lab.parked())[0]?.error).toMatch(/HF_NO_HANDLER/);
    // The next one of that topic holds nobody up.
    const next = wire({ type: 'order.cancelled', time: new Date(clock.now()) });
    expect(await consumer.handle(delivery(next))).toEqual({ kind: 'done' });
    const other = wire({ type: 'order.returned', time: new Date(clock.now()) });
    expect(await consumer.handle(delivery(other))).toEqual({ kind: 'later', delayMs: 100 });
  });
});

describe('redrive', () => {
  it('runs what is due and removes it together with its effect', async () => {
    const mood = moody();
    const consumer = lab.make({ handlers: [mood.handler] });
    const sent = wire();
    await consumer.handle(delivery(sent));
    mood.works = true;
    await consumer.tickParked();
    expect(await lab.parked()).toEqual([]);
    expect(await lab.effects(sent.id)).toHaveLength(1);
    expect(mood.attempts).toEqual([1, 2, 3, 4, 5, 6]);
    await consumer.handle(delivery(sent));
    expect(await lab.effects(sent.id)).toHaveLength(1);
  });

  it('gives up after its policy, and then waits for a person', async () => {
    const mood = moody();
    const consumer = lab.make({ handlers: [mood.handler], retry: { attempts: 1 }, parkedRetry: { attempts: 3 } });
    const sent = wire();
    await consumer.handle(delivery(sent));
    // No jitter: each is due again at once, so one tick runs them all.
    await consumer.tickParked();
    expect(mood.attempts).toEqual([1, 2, 3, 4]);
    expect(await lab.parked(sent.id)).toMatchObject([{ redrives: 3, attempts: 4, next_attempt_at: null }]);

    mood.works = true;
    await consumer.tickParked();
    expect(mood.attempts).toHaveLength(4);
    expect(
      await retryParkedDeliveries(
        lab.database,
        'shipping',
        { id: sent.id },
        { actor: 'ann', reason: 'it is open again' },
      ),
    ).toBe(1);
    await consumer.tickParked();
    expect(await lab.parked()).toEqual([]);
    expect(await lab.effects(sent.id)).toHaveLength(1);
    const { rows } = await lab.test.pool.query('SELECT actor, action, subject, reason FROM holdfast.audit');
    expect(rows).toEqual([
      { actor: 'ann', action: 'parked.retry', subject: `shipping/${sent.id}`, reason: 'it is open again' },
    ]);
  });

  it('is done by one process at a time', async () => {
    const mood = moody();
    const sent = wire();
    const consumers = ['a', 'b', 'c'].map(() => lab.make({ handlers: [mood.handler], retry: { attempts: 1 } }));
    await consumers[0]?.handle(delivery(sent));
    mood.works = true;
    await Promise.all(consumers.map((consumer) => consumer.tickParked()));
    expect(await lab.effects(sent.id)).toHaveLength(1);
    expect(await lab.parked()).toEqual([]);
  });

  it('counts a redrive before it is made, so that a death during it is counted', async () => {
    const mood = moody();
    const options = { handlers: [mood.handler], retry: { attempts: 1 }, parkedRetry: { attempts: 2 } };
    const sent = wire();
    await lab.make(options).handle(delivery(sent));
    const dying = lab.make({
      ...options,
      crashPoint: (point) => {
        if (point === 'parked.handler:before') throw new Error('killed');
      },
    });
    await expect(dying.tickParked()).rejects.toThrow('parked.handler:before');
    const [row] = await lab.parked(sent.id);
    expect(row).toMatchObject({ redrives: 1 });
    // Later than any handler can still be running.
    expect(row?.next_attempt_at?.getTime()).toBeGreaterThan(Date.now() + 60_000);
  });

  it('is for messages of this consumer only', async () => {
    const mood = moody();
    await lab.make({ handlers: [mood.handler], retry: { attempts: 1 } }, 'billing').handle(delivery(wire()));
    mood.works = true;
    await lab.make({ handlers: [mood.handler] }).tickParked();
    expect(await lab.parked()).toHaveLength(1);
  });
});

describe('what people do', () => {
  it('discard takes a message out for good: duplicates of it stay unhandled', async () => {
    const mood = moody();
    const consumer = lab.make({ handlers: [mood.handler], retry: { attempts: 1 } });
    const sent = wire();
    await consumer.handle(delivery(sent));
    await discardParkedDelivery(lab.database, 'shipping', sent.id, { actor: 'ann', reason: 'test order' });
    mood.works = true;
    await consumer.tickParked();
    await consumer.handle(delivery(sent));
    expect(await lab.effects()).toEqual([]);
    expect(await lab.parked()).toEqual([]);
    const { rows } = await lab.test.pool.query('SELECT actor, action, reason FROM holdfast.audit');
    expect(rows).toEqual([{ actor: 'ann', action: 'parked.discard', reason: 'test order' }]);
  });

  it('retry by key and of all', async () => {
    const { handler } = moody(new PermanentError('no'));
    const consumer = lab.make({ handlers: [handler] });
    for (const key of ['k1', 'k1', 'k2']) await consumer.handle(delivery(wire({ key })));
    const act = { actor: 'ann' };
    expect(await retryParkedDeliveries(lab.database, 'shipping', { key: 'k1' }, act)).toBe(2);
    expect(await retryParkedDeliveries(lab.database, 'shipping', { all: true }, act)).toBe(3);
    expect(await retryParkedDeliveries(lab.database, 'shipping', { key: 'k9' }, act)).toBe(0);
  });

  it('refuse what is not there, and leave no audit row of it', async () => {
    const id = wire().id;
    await expect(retryParkedDeliveries(lab.database, 'shipping', { id }, { actor: 'ann' })).rejects.toMatchObject({
      code: 'HF_NOT_FOUND',
    });
    await expect(
      discardParkedDelivery(lab.database, 'shipping', id, { actor: 'ann', reason: 'x' }),
    ).rejects.toMatchObject({
      code: 'HF_NOT_FOUND',
    });
    await expect(
      discardParkedDelivery(lab.database, 'shipping', id, { actor: 'ann', reason: ' ' }),
    ).rejects.toMatchObject({
      code: 'HF_CONFIG',
    });
    expect(await lab.count('audit')).toBe(0);
  });
});

describe('stopping', () => {
  it('gives a message back instead of sitting out a wait', async () => {
    const clock = manualClock();
    const { handler } = moody();
    const consumer = lab.make({ clock, random: () => 0.5, handlers: [handler] });
    await consumer.start();
    const sleepers = clock.sleeping;
    const verdict = consumer.handle(delivery(wire()));
    await clock.whenSleeping(sleepers + 2);
    await consumer.stop();
    // The wait ends, one more attempt is made, and the next wait is not begun.
    expect(await verdict).toMatchObject({ kind: 'later' });
    expect(await lab.parked()).toEqual([]);
  });
});
