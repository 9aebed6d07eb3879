/**
 * The world of the demo in numbers: who orders what, how much there is of everything, and how often something goes wrong. All of
 * it follows from the seed.
 */
import { createHash } from 'node:crypto';

export interface World {
  readonly seed: number;
  /** How many orders are to be placed. */
  readonly orders: number;
  /**
   * Over how long they come in, in milliseconds; longer where that is more than can be done.
   *
   * @defaultValue 14 s
   */
  readonly intakeMs?: number;
  /**
   * How long an answer is waited for, before the command is sent again, in milliseconds; and before it is given up, three times that.
   *
   * @defaultValue 3 s
   */
  readonly patienceMs?: number;
  /** Unix time in milliseconds from which on no order is taken any more, however many have come. */
  readonly untilMs?: number;
  /** The demo stays up: when these are placed, another one comes at such intervals, in milliseconds. */
  readonly thenEveryMs?: number;
  /**
   * Orders come without an end: `orders` then says how many customers and goods there are, and of those to come some in a thousand meet a
   * participant that keeps them waiting.
   *
   * @defaultValue false
   */
  readonly endless?: boolean;
}

export const SERVICE_NAMES = ['orders', 'payment', 'stock', 'shipping'] as const;
export type ServiceName = (typeof SERVICE_NAMES)[number];

export interface Order {
  readonly orderId: string;
  readonly customer: string;
  readonly sku: string;
  readonly quantity: number;
  /** In cents, as all money here. */
  readonly amount: number;
}

/** What the order service counts when it has taken its last order. */
export const INTAKE_OVER = 'intake over';

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

const TILLS = 16;

/** The merchant has several accounts, so that payments need not queue for one row. */
export function tillOf(orderId: string): string {
  return `till-${numberOf(orderId) % TILLS}`;
}

/** The merchant's accounts, which are empty, and the customers': some will order more than their balance bears. */
export function accounts(world: World): readonly { readonly name: string; readonly balance: number }[] {
  const tills = Array.from({ length: TILLS }, (_, till) => ({ name: `till-${till}`, balance: 0 }));
  const customers = Array.from({ length: customersIn(world) }, (_, customer) => `customer-${customer}`);
  return [
    ...tills,
    ...customers.map((name) => ({ name, balance: 150_000 + Math.floor(chance(world, name) * 50_000) })),
  ];
}

function customersIn({ orders }: World): number {
  return Math.max(4, Math.ceil(orders / ORDERS_PER_CUSTOMER));
}

/** Whether a customer takes the order back: soon after it was placed, or when it has been shipped and confirmed. */
export function regretOf(world: World, orderId: string): 'soon' | 'late' | null {
  const luck = chance(world, orderId, 'regret');
  return luck < 0.05 ? 'soon' : luck < 0.07 ? 'late' : null;
}

/** How a participant behaves when it is first asked for something. The few that keep others waiting are spread over the orders. */
export function moodOf(world: World, orderId: string, task: string): 'well' | 'slow' | 'silent' | 'clumsy' {
  if (keepsWaiting(world, orderId, `silent ${task}`, SILENT)) return 'silent';
  if (keepsWaiting(world, orderId, `slow ${task}`, SLOW)) return 'slow';
  return chance(world, orderId, task) < 0.04 ? 'clumsy' : 'well';
}

/** Of all orders, for each task. */
const SLOW = 5;
const SILENT = 2;
/** Of orders without an end, for each of these. */
const PART_OF_ENDLESS = 0.0006;

function keepsWaiting(world: World, orderId: string, what: string, count: number): boolean {
  if (world.endless === true) return chance(world, orderId, what) < count * PART_OF_ENDLESS;
  return isOneOf(world, orderId, what, count);
}

/** True for `count` orders, at even distances: not among the last ones, for which all would only wait. */
function isOneOf(world: World, orderId: string, what: string, count: number): boolean {
  const distance = Math.max(1, Math.floor((0.7 * world.orders) / count));
  const first = 1 + Math.floor(chance(world, what) * distance);
  const number = numberOf(orderId);
  return number % distance === first % distance && number < first + count * distance;
}

function numberOf(orderId: string): number {
  return Number(/\d+/.exec(orderId)?.[0]);
}
