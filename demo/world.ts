/**
 * The world of the demo in numbers: who orders what, how much there is of everything, and how often something goes wrong.
 * All of it follows from the seed. Used by the services.
 */
import { createHash } from 'node:crypto';

export interface World {
  readonly seed: number;
  /** How many orders are to be placed. */
  readonly orders: number;
}

export const SERVICE_NAMES = ['orders', 'stock', 'payment', 'shipping'] as const;
export type ServiceName = (typeof SERVICE_NAMES)[number];

export interface Order {
  readonly orderId: string;
  readonly customer: string;
  readonly sku: string;
  readonly quantity: number;
  /** In cents, as all money here. */
  readonly amount: number;
}

/** A number in [0, 1) that follows from its arguments alone, so the same things go wrong in every run with this seed. */
export function chance({ seed }: World, ...about: readonly (string | number)[]): number {
  return (
    createHash('sha256')
      .update([seed, ...about].join())
      .digest()
      .readUInt32BE() /
    2 ** 32
  );
}

export function orderAt(world: World, number: number): Order {
  const orderId = `order-${String(number).padStart(5, '0')}`;
  const draw = (what: string, below: number): number => Math.floor(chance(world, orderId, what) * below);
  const product = draw('product', PRODUCTS);
  const quantity = 1 + draw('quantity', 3);
  return {
    orderId,
    customer: `customer-${draw('customer', customersIn(world))}`,
    sku: `sku-${product}`,
    quantity,
    amount: quantity * (500 + 250 * product),
  };
}

const PRODUCTS = 24;
const ORDERS_PER_CUSTOMER = 20;

/** There is about as much of each product as will be asked for, so some orders come too late. */
export function products({ orders }: World): readonly { readonly sku: string; readonly available: number }[] {
  const available = Math.ceil((orders * 2) / PRODUCTS);
  return Array.from({ length: PRODUCTS }, (_, product) => ({ sku: `sku-${product}`, available }));
}

/** Some customers will order more than their balance bears. */
export function accounts(world: World): readonly { readonly customer: string; readonly balance: number }[] {
  const customers = Array.from({ length: customersIn(world) }, (_, customer) => `customer-${customer}`);
  return customers.map((customer) => ({ customer, balance: 150_000 + Math.floor(chance(world, customer) * 50_000) }));
}

function customersIn({ orders }: World): number {
  return Math.max(4, Math.ceil(orders / ORDERS_PER_CUSTOMER));
}
