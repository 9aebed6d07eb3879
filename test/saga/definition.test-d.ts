/**
 * What the compiler infers for those who write sagas.
 */
import { expectTypeOf } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { saga, type SagaInput, type SagaResult } from '../../src/saga/definition.ts';
import { child, command, emit, step, transaction } from '../../src/saga/steps.ts';

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
      compensate: (undo, { idempotencyKey }) => {
        expectTypeOf(undo.input).toEqualTypeOf<Charge>();
        if (undo.outcome === 'done') expectTypeOf(undo.output).toEqualTypeOf<Payment>();
        else expectTypeOf(undo.output).toEqualTypeOf<undefined>();
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
