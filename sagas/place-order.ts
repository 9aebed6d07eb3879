/**
 * An order over three services, which answer by messages: payment and stock at the same time, then shipping, then the news of it.
 *
 * Shows: commands with replies and compensations, parallel steps, the pivot, and a status that follows the outcome by itself.
 *
 * - A declined card or missing stock is a `Rejection` of the participant: the run is compensated, and what the other one did is taken back.
 * - A participant that stays silent is asked three times, then the step is in doubt and is compensated as well: a refund that finds no
 *   payment leaves a mark, so that a charge coming late is refused. Money and stock are conserved either way.
 * - The order can be cancelled until it is shipped: `sagas.handle(placeOrder, id).cancel()`. If the run has not begun by then, nothing
 *   of it happens, so whoever cancels marks an order that nothing has been heard of (demo/services/orders.ts).
 */
// In a service of your own these come from 'holdfast'.
import { command, emit, saga } from '../src/index.ts';
import {
  ChargePayment,
  OrderAccepted,
  OrderConfirmed,
  OrderRejected,
  OrderShipped,
  PaymentCharged,
  PlaceOrder,
  RefundPayment,
  ReleaseStock,
  ReserveStock,
  ShipOrder,
  StockReserved,
} from './messages/order.ts';

export const placeOrder = saga({
  name: 'place-order',
  input: PlaceOrder,
  deadline: '15m',
  steps: {
    // The first to be done is the last to be compensated: the order is rejected when money and stock are back, whatever went wrong.
    accept: emit(OrderAccepted, { compensate: OrderRejected }),
    charge: command(ChargePayment, { reply: PaymentCharged, compensate: RefundPayment, timeout: '5s' }),
    reserve: command(ReserveStock, { reply: StockReserved, compensate: ReleaseStock, timeout: '5s' }),
    // A parcel cannot be called back, so what has become of it must be known: asked for a week, then a person is told.
    ship: command(ShipOrder, {
      reply: OrderShipped,
      pivot: true,
      timeout: '5s',
      retry: { attempts: Infinity, base: '1s', cap: '10m', within: '7d' },
    }),
    confirm: emit(OrderConfirmed),
  },
  async run({ input, steps }) {
    const { orderId, customer, amount, sku, quantity } = input;
    await steps.accept({ orderId, customer });
    const [{ paymentId }] = await Promise.all([
      steps.charge({ orderId, customer, amount }),
      steps.reserve({ orderId, customer, sku, quantity }),
    ]);
    const { parcel } = await steps.ship({ orderId, customer, sku, quantity });
    await steps.confirm({ orderId, customer, paymentId, parcel });
    return { paymentId, parcel };
  },
});
