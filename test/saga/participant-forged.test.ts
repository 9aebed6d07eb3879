/**
 * Messages that no saga sent: a participant compensates what it has on record, and replies where it was told to, whatever a message asks for.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { notOnRecord } from '../../src/saga/participant/on-record.ts';
import { note, openStockLab, Reserve, Reserved, RUN, sent, type StockLab } from './participant-lab.ts';

const Charge = message('payment.charge', { schema: z.object({ customer: z.string(), amount: z.number() }) });
const Charged = message('payment.charged', { schema: z.object({ paymentId: z.string() }) });
const Refund = message('payment.refund', {
  schema: z.object({ customer: z.string(), amount: z.number(), reason: z.string().default('none') }),
});
const handlers = [
  handle(Charge, { reply: Charged }, async ({ customer, amount }, { tx }) => {
    await note(tx, `charge ${customer} ${amount}`);
    return { paymentId: `p-${amount}` };
  }),
  handle(Refund, { compensates: Charge, reply: Charged }, async ({ customer, amount, reason }, { tx }) => {
    await note(tx, `refund ${customer} ${amount} ${reason}`);
  }),
];
const charge = () => sent({ type: 'payment.charge', call: 'charge', data: { customer: 'ada', amount: 5 } });
const refund = (data: unknown, more: Parameters<typeof sent>[0] = {}) =>
  sent({ type: 'payment.refund', call: 'charge', role: 'compensation', data, ...more });

let lab: StockLab;
beforeAll(async () => {
  lab = await openStockLab();
});
beforeEach(() => lab.clean());
afterAll(() => lab.dispose());

describe('a compensation', () => {
  it.each([
    ['of more than was charged', { customer: 'ada', amount: 1_000_000 }],
    ['for somebody else', { customer: 'eve', amount: 5 }],
    ['with what nobody recorded', { customer: 'ada', amount: 5, reason: 'because' }],
    ['as text', { customer: 'ada', amount: '5' }],
  ])('%s is refused, and the record stays as it was', async (_, data) => {
    const payment = lab.participant({ handlers });
    await payment.handle(charge());
    await payment.handle(refund(data));
    expect(await lab.notes()).toEqual(['charge ada 5']);
    expect(await lab.calls()).toMatchObject([{ state: 'done' }]);
    const parked = await lab.parked();
    const refused = (await lab.replies()).slice(1);
    // What the schema refuses is parked before any handler sees it.
    expect(parked.length + refused.length).toBe(1);
    for (const reply of refused)
      expect(reply).toMatchObject({ to: 'compensation', outcome: 'rejected', error: { code: 'HF_NOT_ON_RECORD' } });
  });

  it('that asks for what is on record is carried out after a forged one', async () => {
    const payment = lab.participant({ handlers });
    await payment.handle(charge());
    await payment.handle(refund({ customer: 'ada', amount: 1_000_000 }));
    await payment.handle(refund({ customer: 'ada', amount: 5 }));
    expect(await lab.notes()).toEqual(['charge ada 5', 'refund ada 5 none']);
  });

  it('may say freely what the handler names', async () => {
    const [command, compensation] = handlers as [(typeof handlers)[0], (typeof handlers)[0]];
    const payment = lab.participant({ handlers: [command, { ...compensation, fromMessage: ['reason'] }] });
    await payment.handle(charge());
    await payment.handle(refund({ customer: 'ada', amount: 7, reason: 'late' }));
    await payment.handle(refund({ customer: 'ada', amount: 5, reason: 'late' }));
    expect(await lab.notes()).toEqual(['charge ada 5', 'refund ada 5 late']);
  });

  it('of a call that is not on record is refused, though its headers say that it was done', async () => {
    const payment = lab.participant({ handlers });
    await payment.handle(refund({ customer: 'eve', amount: 1_000_000 }, { outcome: 'done', runId: randomUUID() }));
    expect(await lab.notes()).toEqual([]);
    expect(await lab.replies()).toMatchObject([{ outcome: 'rejected', error: { code: 'HF_NOT_ON_RECORD' } }]);
    expect(await lab.calls()).toEqual([]);
  });

  it('that says it is a command is refused', async () => {
    const payment = lab.participant({ handlers });
    await payment.handle(refund({ customer: 'eve', amount: 1_000_000 }, { role: 'command', call: 'tidy' }));
    expect(await lab.notes()).toEqual([]);
    expect(await lab.replies()).toMatchObject([{ outcome: 'rejected', error: { code: 'HF_SAGA_DEFINITION' } }]);
    expect(await lab.calls()).toEqual([]);
  });

  it('without the headers of a saga is parked', async () => {
    const payment = lab.participant({ handlers });
    await payment.handle(refund({ customer: 'eve', amount: 1_000_000 }, { headers: {} }));
    expect(await lab.notes()).toEqual([]);
    expect(await lab.parked()).toMatchObject([{ reason: 'permanent error', attempts: 1 }]);
  });
});

describe('the topic of the reply', () => {
  const asking = (replyTo: string, role = 'command') =>
    sent({
      type: role === 'command' ? Reserve.topic : 'stock.release',
      headers: {
        'holdfast-saga': RUN,
        'holdfast-call': 'reserve',
        'holdfast-role': role,
        'holdfast-reply-to': replyTo,
      },
    });
  const topics = async (): Promise<unknown[]> =>
    (await lab.test.pool.query<{ topic: string }>('SELECT topic FROM holdfast.outbox')).rows.map(({ topic }) => topic);

  it.each(['command', 'compensation'])('of a %s is one of those allowed, or nothing is done', async (role) => {
    const stock = lab.participant();
    await stock.handle(asking('admin.grant-all', role));
    expect(await topics()).toEqual([]);
    expect([...(await lab.notes()), ...(await lab.calls())]).toEqual([]);
    expect(await lab.parked()).toMatchObject([
      { reason: 'permanent error', attempts: 1, error: expect.stringContaining('admin.grant-all') as string },
    ]);
  });

  it('may be one that the participant names', async () => {
    const stock = lab.participant({ replyTopics: ['billing.reply', 'saga.reply'] });
    await stock.handle(asking('billing.reply'));
    expect(await topics()).toEqual(['billing.reply']);
  });

  it('is checked when the participant is made', () => {
    expect(() => lab.participant({ replyTopics: [] })).toThrow('has no replyTopics');
    expect(() => lab.participant({ replyTopics: ['saga.**'] })).toThrow('is not a topic');
    const compensation = { fromMessage: ['reason'] } as never;
    expect(() => handle(Reserve, compensation, () => {})).toThrow('no compensates');
    expect(() => handle(Refund, { compensates: Charge, fromMessage: 'reason' as never }, () => {})).toThrow('no list');
    expect(() => handle(Refund, { compensates: Charge, withoutRecord: 'run' as never }, () => {})).toThrow('Use');
    expect(Reserved.topic).toBe('stock.reserved');
  });
});

describe('notOnRecord', () => {
  const record = (data: unknown, output?: unknown): Parameters<typeof notOnRecord>[1] => ({
    command: data,
    reply: output === undefined ? null : { outcome: 'done', output, outputVersion: 1 },
  });
  it.each<[string, unknown, Parameters<typeof notOnRecord>[1], readonly string[]]>([
    ['the input itself', { a: 1, b: ['x'] }, record({ a: 1, b: ['x'] }), []],
    ['input and output together', { a: 1, id: 'p' }, record({ a: 1 }, { id: 'p' }), []],
    ['under another name', { refund: 5, of: 'p' }, record({ amount: 5 }, { id: 'p' }), []],
    ['under a name that has another value', { amount: 9 }, record({ amount: 5, count: 9 }), ['amount']],
    ['the run and the call', { key: 'run:call' }, record({}), []],
    ['as text', { amount: '5' }, record({ amount: 5 }), ['amount']],
    ['in a list', { lines: [{ sku: 'x', count: 2 }] }, record({ lines: [{ sku: 'x', count: 1 }] }), ['count']],
    ['null for a value', { amount: null }, record({ amount: 5 }), ['amount']],
    ['a plain value', 7, record({ amount: 5 }), ['']],
    ['nothing', undefined, record({ amount: 5 }), []],
  ])('%s', (_, payload, on, strange) => {
    expect(notOnRecord(payload, on, ['run', 'call', 'run:call'], [])).toEqual(strange);
  });

  it('goes as deep as the payload does', () => {
    let deep: unknown = 1;
    for (let level = 0; level < 100_000; level += 1) deep = [deep];
    expect(notOnRecord({ a: deep }, record({ a: 1 }), [], [])).toEqual([]);
    expect(notOnRecord({ a: deep }, record({ a: 2 }), [], 'all')).toEqual([]);
  });
});
