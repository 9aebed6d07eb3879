/** Hears of accepted orders. Its row and the mark "I have handled this message" are one commit: a message that comes twice ships once. */
import { createConsumer, on } from 'holdfast';
import { database } from '../database.js';
import { OrderAccepted } from '../messages.js';
import { transport } from '../transport.js';

export const shipping = createConsumer('shipping', {
  database,
  transport,
  handlers: [
    on(OrderAccepted, async ({ orderId, item }, { tx }) => {
      await tx.query('INSERT INTO shipments (order_id, item) VALUES ($1, $2)', [orderId, item]);
    }),
  ],
});
