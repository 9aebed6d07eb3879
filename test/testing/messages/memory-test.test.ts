/**
 * testMessages: what is sent, delivered, asked, repeated, retried, parked and delayed in memory.
 */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { PermanentError, Rejection } from '../../../src/errors.ts';
import { on } from '../../../src/inbox/handlers/handler.ts';
import { message } from '../../../src/message/message-type.ts';
import type { SqlExecutor } from '../../../src/postgres/executor.ts';
import { handle } from '../../../src/saga/participant/handle.ts';
import { testMessages } from '../../../src/testing/messages/memory-test.ts';

const Placed = message('order.placed', {
  schema: z.object({ orderId: z.string(), n: z.int().default(1) }),
  key: (order) => order.orderId,
});
const Shipped = message('order.shipped', { schema: z.object({ orderId: z.string() }) });
const Reserve = message('stock.reserve', { schema: z.object({ sku: z.string() }) });
const Reserved = message('stock.reserved', { schema: z.object({ shelf: z.string() }) });
const Release = message('stock.release', { schema: z.object({ sku: z.string() }) });

const topics = (messages: readonly { readonly topic: string }[]): readonly string[] =>
  messages.map(({ topic }) => topic);

describe('testMessages', () => {
  it('has what is sent travel when its transaction commits, through consumers that send on', async () => {
    const seen: string[] = [];
    const test = testMessages({
      consumers: {
        shipping: { handlers: [on(Placed, ({ orderId }, { send }) => send(Shipped, { orderId }))] },
        mail: { handlers: [on(Shipped, ({ orderId }) => seen.push(orderId))] },
      },
    });
    const { id } = await test.transaction((tx) => test.outbox.send(tx, Placed, { orderId: 'o-1' }));
    expect(seen).toEqual(['o-1']);
    expect(test.messages).toMatchObject([
      { id, topic: 'order.placed', key: 'o-1', payload: { orderId: 'o-1' }, causationId: null },
      { topic: 'order.shipped', causationId: id, correlationId: id },
    ]);
    expect(test.handled).toMatchObject([{ consumer: 'shipping' }, { consumer: 'mail', payload: { orderId: 'o-1' } }]);
  });

  it('forgets what was sent in a transaction that is rolled back, and refuses what the outbox refuses', async () => {
    const test = testMessages();
    const undo = test.transaction(async (tx) => {
      await test.outbox.send(tx, Placed, { orderId: 'o-1' }, { id: '0197d6b0-0000-7000-8000-000000000001' });
      throw new Error('no');
    });
    await expect(undo).rejects.toThrow('no');
    expect(test.messages).toEqual([]);
    await test.send(Placed, { orderId: 'o-1' }, { id: '0197d6b0-0000-7000-8000-000000000001' });
    await expect(
      test.send(Placed, { orderId: 'o-1' }, { id: '0197d6b0-0000-7000-8000-000000000001' }),
    ).rejects.toMatchObject({ code: 'HF_MESSAGE_DUPLICATE' });
    await expect(test.send(Placed, { orderId: 1 } as never)).rejects.toMatchObject({ code: 'HF_PAYLOAD_INVALID' });
    await expect(test.send(Placed, { orderId: 'o' }, { dely: 1 } as object)).rejects.toMatchObject({
      code: 'HF_OPTION_UNKNOWN',
    });
    await expect(test.outbox.send({} as SqlExecutor & object, Placed, { orderId: 'o' })).rejects.toMatchObject({
      code: 'HF_NOT_IN_TRANSACTION',
    });
    let late: unknown;
    await test.transaction(async (tx) => (late = tx));
    await expect(test.outbox.send(late as SqlExecutor, Placed, { orderId: 'o' })).rejects.toMatchObject({
      code: 'HF_NOT_IN_TRANSACTION',
    });
    expect(test.messages.length).toBe(1);
  });

  it('commits mark, sends and the effects of a stand-in together, and rolls them back together', async () => {
    const stored: string[] = [];
    let fail = true;
    const test = testMessages({
      transaction: () => ({
        rows: [] as string[],
        insert(row: string) {
          this.rows.push(row);
        },
      }),
      endTransaction: (tx, outcome) => void (outcome === 'commit' && stored.push(...tx.rows)),
      consumers: {
        shipping: {
          handlers: (onTx) => [
            onTx(Placed, async ({ orderId }, { tx, send }) => {
              (tx as { insert(row: string): void }).insert(orderId);
              await send(Shipped, { orderId });
              if (fail) throw new Error('not yet');
            }),
          ],
        },
      },
    });
    await test.send(Placed, { orderId: 'o-1' });
    expect({ stored, sent: topics(test.messages) }).toEqual({ stored: [], sent: ['order.placed'] });
    fail = false;
    await test.advance('1s');
    expect({ stored, sent: topics(test.messages) }).toEqual({
      stored: ['o-1'],
      sent: ['order.placed', 'order.shipped'],
    });
    expect(test.failed).toMatchObject([{ attempt: 1, error: { message: 'not yet' } }]);
    expect(test.handled.length).toBe(1);
  });

  it('delivers twice, and the second is a duplicate', async () => {
    let runs = 0;
    const test = testMessages({ consumers: { shipping: { handlers: [on(Placed, () => void (runs += 1))] } } });
    const { id, outcomes } = await test.deliver(Placed, { orderId: 'o-1' }, { times: 3, headers: { via: 'test' } });
    expect(outcomes.map(({ outcome }) => outcome).toSorted()).toEqual(['duplicate', 'duplicate', 'handled']);
    expect((await test.deliver(Placed, { orderId: 'o-1' }, { id })).outcomes).toEqual([
      { consumer: 'shipping', outcome: 'duplicate' },
    ]);
    expect(runs).toBe(1);
  });

  it('parks what gives up, takes it up again when it is due, and says why', async () => {
    let broken = true;
    const test = testMessages({
      consumers: {
        shipping: {
          retry: { attempts: 2 },
          handlers: [
            on(Placed, () => {
              if (broken) throw new Error('no lorry');
            }),
          ],
        },
      },
    });
    await test.deliver(Placed, { orderId: 'o-1' });
    await test.advance('5s');
    expect(test.parked).toMatchObject([{ reason: 'gave up after retries', error: { message: 'no lorry' } }]);
    await test.advance('1h');
    expect(test.failed.length).toBeGreaterThan(3);
    broken = false;
    await test.advance('2h');
    expect(test.parked).toEqual([]);
    expect(test.handled.length).toBe(1);
    await test.advance('365d');
    expect(test.handled.length).toBe(1);
  });

  it('parks a permanent failure at once, for good', async () => {
    const test = testMessages({
      consumers: {
        shipping: {
          handlers: [
            on(Placed, () => {
              throw new PermanentError('never');
            }),
          ],
        },
      },
    });
    await test.deliver(Placed, { orderId: 'o-1' });
    await test.advance('30d');
    expect(test.failed.length).toBe(1);
    expect(test.parked).toMatchObject([{ reason: 'permanent error' }]);
  });

  it('has delayed messages leave when their time has come', async () => {
    const seen: string[] = [];
    const test = testMessages({ consumers: { late: { handlers: [on(Placed, ({ orderId }) => seen.push(orderId))] } } });
    await test.send(Placed, { orderId: 'o-2' }, { delay: '2d' });
    await test.send(Placed, { orderId: 'o-1' }, { delay: '1d' });
    expect(test.messages.map(({ dueAt }) => dueAt)).toEqual([new Date('2026-01-03'), new Date('2026-01-02')]);
    await test.advance('1d');
    expect(seen).toEqual(['o-1']);
    await test.advance('1d');
    expect(seen).toEqual(['o-1', 'o-2']);
  });

  it('ends a handler that takes too long by the clock', async () => {
    const test = testMessages({
      consumers: {
        slow: {
          timeout: '10s',
          retry: { attempts: 1 },
          handlers: [
            on(Placed, async () => {
              await test.sleep('1h');
            }),
          ],
        },
      },
    });
    await test.deliver(Placed, { orderId: 'o-1' });
    await test.advance('20s');
    expect(test.failed).toMatchObject([{ error: { code: 'HF_HANDLER_TIMEOUT' } }]);
  });

  it('says which handler does not end, and which one wants a database', async () => {
    const hanging = testMessages({
      settleWithin: 20,
      consumers: { stuck: { handlers: [on(Placed, () => new Promise(() => {}))] } },
    });
    await expect(hanging.deliver(Placed, { orderId: 'o-1' })).rejects.toMatchObject({
      code: 'HF_TEST_UNSETTLED',
      message: expect.stringContaining('a message of stuck'),
    });
    const poor = testMessages({ consumers: { sql: { handlers: [on(Placed, (_, { tx }) => tx.query('SELECT 1'))] } } });
    await expect(poor.deliver(Placed, { orderId: 'o-1' })).rejects.toMatchObject({
      code: 'HF_TX_UNSUPPORTED',
      message: expect.stringContaining('tx.query'),
    });
  });

  it('keeps the order of a key behind a parked message', async () => {
    const seen: number[] = [];
    let broken = true;
    const test = testMessages({
      consumers: {
        line: {
          ordered: true,
          retry: { attempts: 1 },
          handlers: [
            on(Placed, ({ n }) => {
              if (broken && n === 1) throw new Error('not yet');
              seen.push(n);
            }),
          ],
        },
      },
    });
    for (const n of [1, 2, 3]) await test.send(Placed, { orderId: 'o-1', n });
    await test.send(Placed, { orderId: 'o-2', n: 9 });
    expect(seen).toEqual([9]);
    expect(test.parked.length).toBe(3);
    broken = false;
    await test.advance('1h');
    expect(seen).toEqual([9, 1, 2, 3]);
    expect(test.parked).toEqual([]);
  });

  it('asks participants as sagas do', async () => {
    const done: string[] = [];
    const test = testMessages({
      participants: {
        stock: {
          handlers: [
            handle(Reserve, { reply: Reserved }, ({ sku }) => {
              if (sku === 'sold') throw new Rejection('sold out');
              done.push(`reserve ${sku}`);
              return { shelf: 'a' };
            }),
            handle(Release, { compensates: Reserve }, ({ sku }, { reply }) => {
              done.push(`release ${sku} of ${(reply as { shelf: string }).shelf}`);
            }),
          ],
        },
      },
    });
    const answered = await test.command(Reserve, { sku: 'x' }, { times: 2 });
    expect(answered.reply).toMatchObject({ outcome: 'done', output: { shelf: 'a' } });
    const { runId, call } = answered;
    expect((await test.command(Reserve, { sku: 'x' }, { runId, call })).reply?.output).toEqual({ shelf: 'a' });
    expect((await test.compensate(Release, { sku: 'x' }, { of: answered })).reply).toMatchObject({ outcome: 'done' });
    await test.compensate(Release, { sku: 'x' }, { of: answered });
    expect((await test.command(Reserve, { sku: 'x' }, { runId, call })).reply).toMatchObject({ outcome: 'rejected' });
    expect((await test.command(Reserve, { sku: 'sold' })).reply).toMatchObject({ error: { message: 'sold out' } });
    const late = await test.compensate(Release, { sku: 'y' });
    expect(late.reply).toMatchObject({ outcome: 'done' });
    expect((await test.command(Reserve, { sku: 'y' }, { runId: late.runId, call: late.call })).reply).toMatchObject({
      outcome: 'rejected',
    });
    expect(done).toEqual(['reserve x', 'release x of a']);
  });

  it('refuses what cannot be meant', () => {
    expect(() => testMessages({ consumer: {} } as object)).toThrow(/HF_OPTION_UNKNOWN|no option/);
    expect(() => testMessages({ consumers: { a: { handlers: [], database: 1 } as never } })).toThrow(
      'which the test brings itself',
    );
    const handlers = [handle(Reserve, () => undefined)];
    expect(() => testMessages({ consumers: { a: { handlers: [] } }, participants: { a: { handlers } } })).toThrow(
      'called a',
    );
  });
});
