/**
 * The audit: reads the tables of all four services after the dust has settled and holds them against each other. It believes no
 * counter and no inbox: what was sent stands in the outboxes, and what came of it in the ledgers of those who had to act on it.
 * Used by main.ts and by test/demo.
 */
import { readersOf } from './messages.ts';
import type { Databases } from './progress.ts';
import { SERVICES } from './services/all.ts';
import { SERVICE_NAMES, type ServiceName } from './world.ts';

export interface Finding {
  readonly what: string;
  readonly found: string | number;
  readonly note?: string;
  readonly ok: boolean;
}

export interface Audit {
  readonly orders: number;
  /** Messages in the outboxes. */
  readonly committed: number;
  /** Of these, the ones on which every service that must act on them has acted. */
  readonly delivered: number;
  readonly lost: number;
  /** Ledger rows that came before one with a lower number of their customer, or after a gap. */
  readonly outOfOrder: number;
  readonly doubleEffects: number;
  /** Messages and effects of orders that were never committed. */
  readonly ghosts: number;
  readonly parked: number;
  readonly moneyConserved: boolean;
  readonly stockConserved: boolean;
  /** How the orders ended. */
  readonly ends: Readonly<Record<string, number>>;
  readonly findings: readonly Finding[];
  readonly ok: boolean;
}

interface Sent {
  readonly id: string;
  readonly topic: string;
  readonly order_id: string;
}

interface Effect {
  readonly message_id: string;
  readonly order_id: string;
}

export async function audit(databases: Databases, ordered: number): Promise<Audit> {
  const read = <Row extends object>(name: ServiceName, sql: string): Promise<Row[]> =>
    databases[name].query<Row & Record<string, unknown>>(sql).then(({ rows }) => rows);

  const sent: Sent[] = [];
  const effects = new Map<ServiceName, readonly Effect[]>();
  let parked = 0;
  for (const name of SERVICE_NAMES) {
    sent.push(...(await read<Sent>(name, `SELECT id, topic, payload ->> 'orderId' AS order_id FROM holdfast.outbox`)));
    effects.set(name, await read<Effect>(name, `SELECT message_id, order_id FROM ${SERVICES[name].ledger}`));
    parked += (await read(name, 'SELECT id FROM holdfast.parked_message')).length;
    parked += (await read(name, 'SELECT message_id FROM holdfast.parked_delivery')).length;
  }
  const orders = await read<{ id: string; status: string; amount: number; quantity: number }>(
    'orders',
    'SELECT id, status, amount, quantity FROM orders',
  );

  // Every message against the ledgers of its readers, and every ledger row against the messages.
  const acted = new Map([...effects].map(([name, rows]) => [name, new Set(rows.map((row) => row.message_id))]));
  const delivered = sent.filter(({ id, topic }) =>
    readersOf(topic).every((reader) => acted.get(reader)!.has(id)),
  ).length;
  const known = { orders: new Set(orders.map(({ id }) => id)), messages: new Set(sent.map(({ id }) => id)) };
  const allEffects = [...effects.values()].flat();
  const doubleEffects = allEffects.length - sum([...acted.values()].map((ids) => ids.size));
  const ghosts =
    sent.filter((message) => !known.orders.has(message.order_id)).length +
    allEffects.filter((row) => !known.messages.has(row.message_id) || !known.orders.has(row.order_id)).length;

  // Payments of a customer are numbered 1, 2, 3, …: in the order of shipping's ledger they must still be.
  const [order] = await read<{ wrong: number }>(
    'shipping',
    `SELECT count(*)::integer AS wrong FROM (
       SELECT n, row_number() OVER (PARTITION BY customer ORDER BY position) AS place FROM dispatch) AS d
     WHERE n <> place`,
  );

  // Across the services: what was paid for, set aside and sent away must be what the shipped orders say.
  const shipped = orders.filter(({ status }) => status === 'shipped');
  const [money] = await read<{ spent: number; captured: number }>(
    'payment',
    `SELECT (SELECT sum(initial - balance) FROM account)::float8 AS spent,
       (SELECT coalesce(sum(amount), 0) FROM payment WHERE captured)::float8 AS captured`,
  );
  const [goods] = await read<{ gone: number; moved: number }>(
    'stock',
    `SELECT (SELECT sum(initial - available) FROM product)::float8 AS gone,
       (SELECT coalesce(-sum(quantity), 0) FROM movement)::float8 AS moved`,
  );
  const parcels = await read<{ order_id: string }>(
    'shipping',
    'SELECT order_id FROM dispatch WHERE parcel IS NOT NULL',
  );
  const worth = sum(shipped.map(({ amount }) => amount));
  const pieces = sum(shipped.map(({ quantity }) => quantity));
  const moneyConserved = money!.spent === money!.captured && money!.captured === worth;
  const stockConserved = goods!.gone === goods!.moved && goods!.moved === pieces;
  const ids = new Set(parcels.map((parcel) => parcel.order_id));
  const parcelsRight = parcels.length === shipped.length && shipped.every(({ id }) => ids.has(id));

  const ends: Record<string, number> = {};
  for (const { status } of orders) ends[status] = (ends[status] ?? 0) + 1;
  const outOfOrder = order!.wrong;
  const lost = sent.length - delivered;
  const none = (what: string, found: number): Finding => ({ what, found, ok: found === 0 });
  const findings: Finding[] = [
    { what: 'orders committed', found: orders.length, note: listed(ends), ok: orders.length === ordered },
    { what: 'messages committed', found: sent.length, ok: sent.length > 0 },
    { what: 'messages delivered', found: delivered, note: 'and acted on', ok: delivered === sent.length },
    none('lost', lost),
    none('out of order', outOfOrder),
    none('double effects', doubleEffects),
    none('from rolled-back orders', ghosts),
    none('left in the middle', ends['placed'] ?? 0),
    none('parked', parked),
    { what: 'money', ...kept(moneyConserved), note: `${cents(worth)} shipped, ${cents(money!.spent)} paid` },
    { what: 'stock', ...kept(stockConserved), note: `${pieces} pieces shipped, ${goods!.gone} gone` },
    { what: 'parcels', found: parcels.length, note: 'one for each shipped order', ok: parcelsRight },
  ];
  return {
    orders: orders.length,
    committed: sent.length,
    delivered,
    lost,
    outOfOrder,
    doubleEffects,
    ghosts,
    parked,
    moneyConserved,
    stockConserved,
    ends,
    findings,
    ok: findings.every(({ ok }) => ok),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function kept(ok: boolean): { readonly found: string; readonly ok: boolean } {
  return { found: ok ? 'conserved' : 'NOT CONSERVED', ok };
}

function listed(ends: Readonly<Record<string, number>>): string {
  const parts = Object.entries(ends).toSorted(([, a], [, b]) => b - a);
  return parts.map(([status, count]) => `${count} ${status}`).join(', ');
}

function cents(amount: number): string {
  return (amount / 100).toLocaleString('en', { minimumFractionDigits: 2 });
}
