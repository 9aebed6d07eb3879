/** What services tell each other, declared once: payload and key are checked wherever a message is sent or handled. */
import { message } from 'holdfast';
import { z } from 'zod';

export const OrderAccepted = message('order.accepted', {
  schema: z.object({ orderId: z.string(), item: z.string() }),
  // Messages of one order are delivered in their order.
  key: (order) => order.orderId,
});
