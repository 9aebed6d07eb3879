/**
 * What the services tell each other, and which service hears what. Each type is declared once, for senders and handlers alike.
 *
 *   orders ── order.placed ──▶ stock ── stock.reserved ──▶ payment ── payment.captured ──▶ shipping ── order.shipped ──▶ orders
 *                                └─ stock.refused ──▶ orders   └─ payment.declined ──▶ stock, shipping, orders
 */
import { z } from 'zod';
import { message, type Route } from '../src/index.ts';

const about = { orderId: z.string(), customer: z.string() };
const goods = { sku: z.string(), quantity: z.number().int().positive() };
const money = { amount: z.number().int().nonnegative() };
/** Payments of a customer are numbered without gaps: shipping must see 1, 2, 3, … of each. */
const numbered = { n: z.number().int().positive() };

/** Messages of one customer keep their order. */
const key = ({ customer }: { customer: string }): string => customer;

export const OrderPlaced = message('order.placed', { schema: z.object({ ...about, ...goods, ...money }), key });
export const StockReserved = message('stock.reserved', { schema: z.object({ ...about, ...goods, ...money }), key });
export const StockRefused = message('stock.refused', { schema: z.object(about), key });
export const PaymentCaptured = message('payment.captured', {
  schema: z.object({ ...about, ...money, ...numbered }),
  key,
});
export const PaymentDeclined = message('payment.declined', {
  schema: z.object({ ...about, ...goods, ...numbered }),
  key,
});
export const OrderShipped = message('order.shipped', { schema: z.object({ ...about, parcel: z.string() }), key });

/** For the relay. A destination has the name of the service that reads it. */
export const ROUTES = [
  { topics: [OrderPlaced.topic], to: 'stock' },
  { topics: [StockReserved.topic], to: 'payment' },
  { topics: [PaymentCaptured.topic, PaymentDeclined.topic], to: 'shipping', ordered: true },
  { topics: [PaymentDeclined.topic], to: 'stock' },
  { topics: [StockRefused.topic, PaymentDeclined.topic, OrderShipped.topic], to: 'orders' },
] as const satisfies readonly Route[];

export type Topic = (typeof ROUTES)[number]['topics'][number];

/** The services that must handle a message of this topic. */
export function readersOf(topic: string): readonly (typeof ROUTES)[number]['to'][] {
  return ROUTES.filter(({ topics }) => topics.some((heard) => heard === topic)).map(({ to }) => to);
}
