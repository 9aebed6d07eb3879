/**
 * An order from its acceptance to its message, or back again: what was done is compensated, last things first. A run goes on where it was
 * when its process is killed.
 */
import { emit, Rejection, saga, step } from 'holdfast';
import { z } from 'zod';
import { transaction } from '../database.js';
import { OrderAccepted } from '../messages.js';
import { setState } from '../queries.js';

const Order = z.object({ orderId: z.string(), item: z.string(), amount: z.number().positive() });
type Order = z.infer<typeof Order>;

/** Stands for the service that takes the money: it knows a payment by its key, so one that is asked for twice is made once. */
async function pay(amount: number, key: string): Promise<{ paymentId: string }> {
  if (amount > 1000) throw new Rejection('the card is declined');
  return { paymentId: `payment-${key.slice(-6)}` };
}

export const placeOrder = saga({
  name: 'place-order',
  input: Order,
  steps: {
    // In your own tables: the effect and its record are one commit.
    accept: transaction({
      run: ({ orderId }: Order, { tx }) => setState(tx, orderId, 'accepted'),
      compensate: ({ input }, { tx }) => setState(tx, input.orderId, 'rejected'),
    }),
    // Somebody else's service: tried again with the same key when nobody knows whether it happened.
    charge: step({
      run: ({ amount }: Order, { idempotencyKey }) => pay(amount, idempotencyKey),
      compensate: async ({ output }) => console.log(`refund of ${output?.paymentId ?? 'what may have been paid'}`),
    }),
    // Leaves with the commit that records it, and reaches src/consumers/shipping.ts.
    tell: emit(OrderAccepted),
  },
  async run({ input, steps }) {
    await steps.accept(input);
    const { paymentId } = await steps.charge(input);
    await steps.tell({ orderId: input.orderId, item: input.item });
    return { paymentId };
  },
});
