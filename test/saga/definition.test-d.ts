/**
 * What the compiler infers for those who write sagas.
 */
import { expectTypeOf } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { saga, type AnySaga, type SagaInput, type SagaResult } from '../../src/saga/definition/definition.ts';
import { child } from '../../src/saga/kinds/child.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { emit } from '../../src/saga/kinds/emit.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';

interface Charge {
  readonly orderId: string;
  readonly amount: number;
}
interface Payment {
  readonly id: string;
}
declare const payments: { charge(charge: Charge, options: { idempotencyKey: string }): Promise<Payment> };

const ReserveStock = message('stock.reserve', { schema: z.object({ sku: z.string(), count: z.number() }) });
const ReleaseStock = message('stock.release', { schema: z.object({ sku: z.string(), count: z.number() }) });
const StockReserved = message('stock.reserved', { schema: z.object({ reservation: z.string() }) });
const DropReservation = message('stock.drop', { schema: z.object({ reservation: z.string().nullable() }) });
const OrderConfirmed = message('order.confirmed', { schema: z.object({ orderId: z.string() }) });

const inner = saga({
  name: 'inner',
  input: z.object({ hotel: z.string() }),
  steps: {},
  run: async ({ input }) => ({ booked: input.hotel }),
});

const placeOrder = saga({
  name: 'place-order',
  version: 1,
  input: z.object({ orderId: z.string(), amount: z.number().default(1) }),
  signals: { approved: z.object({ by: z.string() }) },
  steps: {
    charge: step({
      run: (charge: Charge, { idempotencyKey, signal }) => {
        expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
        return payments.charge(charge, { idempotencyKey });
      },
      compensate: (compensation, { idempotencyKey }) => {
        expectTypeOf(compensation.input).toEqualTypeOf<Charge>();
        if (compensation.outcome === 'done') expectTypeOf(compensation.output).toEqualTypeOf<Payment>();
        else expectTypeOf(compensation.output).toEqualTypeOf<undefined>();
        expectTypeOf(idempotencyKey).toBeString();
      },
      verify: async (input) => {
        expectTypeOf(input).toEqualTypeOf<Charge>();
        return { happened: true, output: { id: 'p' } };
      },
    }),
    reserve: command(ReserveStock, { reply: StockReserved, compensate: ReleaseStock, timeout: '30s' }),
    reserveOther: command(ReserveStock, {
      reply: StockReserved,
      compensate: {
        message: DropReservation,
        payload: ({ outcome, output }) => ({ reservation: outcome === 'done' ? output.reservation : null }),
      },
    }),
    ship: transaction({
      run: async (order: { orderId: string }, { tx }) => {
        await tx.query('SELECT 1');
        return order.orderId.length;
      },
      pivot: true,
    }),
    ping: step({ run: async () => {} }),
    hotel: child(inner),
    confirm: emit(OrderConfirmed),
  },
  async run({ input, steps, sleep, waitFor, now, random, uuid }) {
    expectTypeOf(input).toEqualTypeOf<{ orderId: string; amount: number }>();
    const [payment, stock] = await Promise.all([steps.charge(input), steps.reserve({ sku: 'x', count: 1 })]);
    expectTypeOf(payment).toEqualTypeOf<Payment>();
    expectTypeOf(stock).toEqualTypeOf<{ reservation: string }>();
    expectTypeOf(await steps.ship(input)).toBeNumber();
    expectTypeOf(await steps.hotel({ hotel: 'h' })).toEqualTypeOf<{ booked: string }>();
    expectTypeOf(await steps.confirm({ orderId: 'o' })).toBeVoid();
    await steps.ping();
    await sleep('3d');
    expectTypeOf(await waitFor('approved')).toEqualTypeOf<{ by: string }>();
    expectTypeOf(await waitFor('approved', { timeout: '1d' })).toEqualTypeOf<{ by: string } | null>();
    expectTypeOf(now()).toEqualTypeOf<Date>();
    expectTypeOf(random()).toBeNumber();
    expectTypeOf(uuid()).toBeString();
    // @ts-expect-error no such step
    await steps.chagre(input);
    // @ts-expect-error wrong input
    await steps.charge({ orderId: 1 });
    // @ts-expect-error no such signal
    await waitFor('refused');
    return { paymentId: payment.id };
  },
});

expectTypeOf<SagaInput<typeof placeOrder>>().toEqualTypeOf<{ orderId: string; amount?: number | undefined }>();
expectTypeOf<SagaResult<typeof placeOrder>>().toEqualTypeOf<{ paymentId: string }>();

command(ReserveStock, {
  // @ts-expect-error a compensation that does not take the command's payload
  compensate: DropReservation,
});

// --- many kinds of steps at once, and what can be done with what they give

const Invoice = z.object({ kind: z.literal('invoice'), number: z.string() });
const Voucher = z.object({ kind: z.literal('voucher'), until: z.string() });
const Bill = message('bill', { schema: z.object({ orderId: z.string(), copies: z.string().transform(Number) }) });
const Billed = message('billed', { schema: z.discriminatedUnion('kind', [Invoice, Voucher]) });

const mixed = saga({
  name: 'mixed',
  input: z.object({ orderId: z.string(), at: z.iso.datetime().transform((text) => text.length) }),
  signals: { decision: z.object({ approved: z.boolean() }), note: z.string() },
  steps: {
    none: step({ run: () => {} }),
    optional: step({ run: (city: string | undefined) => city ?? 'Prague' }),
    union: step({
      run: async (id: string): Promise<{ ok: true; id: string } | { ok: false; why: string }> => ({ ok: true, id }),
    }),
    degraded: step({
      run: async (id: string) => ({ kind: 'car' as string, id }),
      fallback: (id, error) => {
        expectTypeOf(id).toEqualTypeOf<string>();
        expectTypeOf(error).toEqualTypeOf<Error>();
        return { kind: 'train', id };
      },
    }),
    bill: command(Bill, { reply: Billed }),
    told: command(Bill),
    inner: child(inner, { pivot: true }),
    void: child(saga({ name: 'void', input: z.string().default('x'), steps: {}, run: async () => {} })),
  },
  async run({ input, steps, waitFor, sleepUntil, runId }) {
    expectTypeOf(input).not.toBeAny();
    expectTypeOf(input).toEqualTypeOf<{ orderId: string; at: number }>();
    expectTypeOf(runId).toBeString();
    await sleepUntil(new Date(0));

    await steps.none();
    await steps.none(undefined, { id: 'again' });
    expectTypeOf(await steps.none()).toBeVoid();
    expectTypeOf(await steps.optional()).toBeString();
    await steps.optional('Brno', { id: 'second' });
    // @ts-expect-error an input that must be there
    await steps.union();
    // @ts-expect-error the id of a call is a text
    await steps.union('a', { id: 1 });
    // @ts-expect-error options nobody knows
    await steps.union('a', { key: 'b' });

    const result = await steps.union(input.orderId, { id: 'first' });
    expectTypeOf(result).not.toBeAny();
    if (result.ok) expectTypeOf(result.id).toBeString();
    else expectTypeOf(result.why).toBeString();

    // What is sent is the form that senders give; what is got back has been read by the schema.
    const bill = await steps.bill({ orderId: 'o', copies: '2' });
    expectTypeOf(bill).toEqualTypeOf<{ kind: 'invoice'; number: string } | { kind: 'voucher'; until: string }>();
    // @ts-expect-error the form of the reader
    await steps.bill({ orderId: 'o', copies: 2 });
    expectTypeOf(await steps.told({ orderId: 'o', copies: '2' })).toBeVoid();

    const all = await Promise.all([steps.optional(), steps.degraded('c'), steps.none()]);
    expectTypeOf(all).toEqualTypeOf<[string, { kind: string; id: string }, void]>();
    const each = await Promise.all(['a', 'b'].map((id) => steps.union(id, { id })));
    expectTypeOf(each).toEqualTypeOf<({ ok: true; id: string } | { ok: false; why: string })[]>();
    const first = await Promise.race([steps.optional(), waitFor('decision')]);
    expectTypeOf(first).toEqualTypeOf<string | { approved: boolean }>();
    const settled = await Promise.allSettled([steps.degraded('c')]);
    expectTypeOf(settled[0]).toEqualTypeOf<PromiseSettledResult<{ kind: string; id: string }>>();

    expectTypeOf(await waitFor('note')).toEqualTypeOf<string>();
    // @ts-expect-error durations have units
    await waitFor('note', { timeout: '3 days' });

    expectTypeOf(await steps.inner({ hotel: 'h' })).toEqualTypeOf<{ booked: string }>();
    expectTypeOf(await steps.void()).toBeVoid();
    return result.ok ? { id: result.id } : null;
  },
});

expectTypeOf<SagaInput<typeof mixed>>().not.toBeAny();
expectTypeOf<SagaInput<typeof mixed>>().toEqualTypeOf<{ orderId: string; at: string }>();
expectTypeOf<SagaResult<typeof mixed>>().not.toBeAny();
expectTypeOf<SagaResult<typeof mixed>>().toEqualTypeOf<{ id: string } | null>();
expectTypeOf(mixed.name).toEqualTypeOf<'mixed'>();
expectTypeOf(mixed.signals.note).toEqualTypeOf(z.string());

const silent = saga({ name: 'silent', input: z.undefined(), steps: {}, run: async () => {} });
expectTypeOf<SagaInput<typeof silent>>().toEqualTypeOf<undefined>();
expectTypeOf<SagaResult<typeof silent>>().toBeVoid();

// Every saga is one with its types forgotten.
const known: readonly AnySaga[] = [placeOrder, inner, mixed, silent];
expectTypeOf(known).not.toBeAny();

// A schema without types gives nothing away.
const untyped = saga({
  name: 'untyped',
  input: z.unknown(),
  steps: { look: step({ run: (given: unknown) => given }) },
  async run({ input, steps }) {
    expectTypeOf(input).toBeUnknown();
    expectTypeOf(await steps.look(input)).toBeUnknown();
  },
});
expectTypeOf<SagaInput<typeof untyped>>().toBeUnknown();

saga({
  name: 'wrong',
  input: z.string(),
  steps: {
    // @ts-expect-error a function is no step
    charge: async () => {},
  },
  run: async () => {},
});
// @ts-expect-error a fallback that gives something else than the step
step({ run: (id: string) => id, fallback: () => 1 });
// @ts-expect-error a child that is no saga
child('book-trip');
// @ts-expect-error an emit is no pivot
emit(OrderConfirmed, { pivot: true });

// What a step gives out is recorded as JSON.
// @ts-expect-error a Date
step({ run: () => new Date() });
// @ts-expect-error a Map within
step({ run: async () => ({ found: new Map<string, number>() }) });
// @ts-expect-error a bigint in a list
step({ run: async () => [{ id: 1n }] });
// @ts-expect-error an object with methods
step({ run: () => ({ close(): void {} }) });
// @ts-expect-error of a transaction as well
transaction({ run: async () => ({ at: new Date() }) });
interface Tree {
  readonly name: string;
  readonly children?: readonly Tree[] | undefined;
}
type Branded = string & { readonly brand: 'order' };
step({ run: (): Tree => ({ name: 'root', children: [{ name: 'leaf' }] }), compensate: ({ output }) => output?.name });
step({ run: (): { readonly id: Branded; readonly of?: 'a' | 1 | null } => ({ id: 'o' as Branded }) });
step({ run: (id: string): unknown => id });
step({ run: () => {} });
step({ run: (): [number, string] => [1, 'a'] });
step({ run: (): Record<string, readonly number[]> => ({}) });
step({
  run: (): never => {
    throw new Error('no');
  },
});
