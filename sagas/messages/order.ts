/**
 * What the order saga and the services around it tell each other. Declared once: the saga sends by these types, the participants
 * handle them. A service of your own imports `message` from 'holdfast'.
 */
import { z } from 'zod';
import { message } from '../../src/index.ts';

const order = z.object({ orderId: z.string(), customer: z.string() });
const money = z.object({ ...order.shape, amount: z.int().positive() });
const goods = z.object({ ...order.shape, sku: z.string(), quantity: z.int().positive() });

/** What is told about one order stays in order. */
const key = ({ orderId }: { orderId: string }): string => orderId;

export const PlaceOrder = z.object({ ...goods.shape, amount: z.int().positive() });

// For the payment service. Amounts are in cents.
export const ChargePayment = message('payment.charge', { schema: money, key });
export const PaymentCharged = message('payment.charged', { schema: z.object({ paymentId: z.string() }) });
export const RefundPayment = message('payment.refund', { schema: money, key });

// For the stock service.
export const ReserveStock = message('stock.reserve', { schema: goods, key });
export const StockReserved = message('stock.reserved', { schema: z.object({ reservationId: z.string() }) });
export const ReleaseStock = message('stock.release', { schema: goods, key });

// For the shipping service.
export const ShipOrder = message('order.ship', { schema: goods, key });
export const OrderShipped = message('order.shipped', { schema: z.object({ parcel: z.string() }) });

// News, for the order service and whoever else listens.
export const OrderAccepted = message('order.accepted', { schema: order, key });
export const OrderRejected = message('order.rejected', { schema: order, key });
export const OrderConfirmed = message('order.confirmed', {
  schema: z.object({ ...order.shape, paymentId: z.string(), parcel: z.string() }),
  key,
});
