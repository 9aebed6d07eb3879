/**
 * Which service hears what. The message types are those of the saga: sagas/messages/order.ts.
 *
 *              ┌── payment.charge, payment.refund ──▶ payment ──┐
 *   the saga ──┼── stock.reserve, stock.release ────▶ stock ────┼── saga.reply ──▶ the saga
 *     │        └── order.ship ──────────────────────▶ shipping ─┘
 *     └── order.accepted, then order.rejected or order.confirmed ──▶ orders
 */
import type { Route } from '../src/index.ts';
import {
  ChargePayment,
  OrderAccepted,
  OrderConfirmed,
  OrderRejected,
  RefundPayment,
  ReleaseStock,
  ReserveStock,
  ShipOrder,
} from '../sagas/messages/order.ts';
import type { ServiceName } from './world.ts';

/** The topic that participants answer on, and the queue that workers read the answers from. */
export const REPLY_TOPIC = 'saga.reply';
export const REPLIES = 'saga-replies';

/** What each participant is asked for. */
const COMMANDS = {
  payment: [ChargePayment.topic, RefundPayment.topic],
  stock: [ReserveStock.topic, ReleaseStock.topic],
  shipping: [ShipOrder.topic],
} as const;

/** For the relay. A destination has the name of the service that reads it. */
export const ROUTES: readonly Route[] = [
  { topics: COMMANDS.payment, to: 'payment' },
  { topics: COMMANDS.stock, to: 'stock' },
  { topics: COMMANDS.shipping, to: 'shipping' },
  { topics: [REPLY_TOPIC], to: REPLIES },
  // An order must not be confirmed first and accepted then.
  { topics: [OrderAccepted.topic, OrderRejected.topic, OrderConfirmed.topic], to: 'orders', ordered: true },
];

/** The participant that acts on a message of this topic and answers it; null: it is no command. */
export function participantFor(topic: string): Exclude<ServiceName, 'orders'> | null {
  for (const name of ['payment', 'stock', 'shipping'] as const)
    if (COMMANDS[name].some((command) => command === topic)) return name;
  return null;
}
