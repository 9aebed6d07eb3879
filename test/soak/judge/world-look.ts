/**
 * What else is looked at while a soak runs: sums, what is under way, what needs a person.
 */
import type { Database } from '../../../src/index.ts';
import { DATABASE_NAMES, type DatabaseName } from '../setting.ts';
import type { OrdersState } from './order-ledger.ts';

export interface WorldLook {
  /** Orders that have been placed and were not judged yet. */
  readonly openOrders: number;
  readonly stuck: number;
  /** Run messages that no run has taken in. */
  readonly runMessages: number;
  readonly parked: number;
  readonly money: { readonly initial: number; readonly now: number; readonly merchant: number };
  readonly goods: { readonly initial: number; readonly now: number };
}

export async function lookAtWorld(databases: Readonly<Record<DatabaseName, Database>>): Promise<WorldLook> {
  const one = async <Row extends object>(name: DatabaseName, text: string): Promise<Row> => {
    const { rows } = await databases[name].query<Row & Record<string, unknown>>(text);
    if (rows[0] === undefined) throw new Error(`No row: ${text}`);
    return rows[0];
  };
  let parked = 0;
  for (const name of DATABASE_NAMES) {
    const row = await one<{ parked: number }>(
      name,
      `SELECT ((SELECT count(*) FROM holdfast.parked_message) + (SELECT count(*) FROM holdfast.parked_delivery))::int AS parked`,
    );
    parked += row.parked;
  }
  return {
    parked,
    ...(await one<Pick<WorldLook, 'openOrders' | 'stuck' | 'runMessages'>>(
      'orders',
      `SELECT (SELECT count(*) FROM orders)::int AS "openOrders", (SELECT count(*) FROM holdfast.saga_mail)::int AS "runMessages",
         (SELECT count(*) FROM holdfast.saga_run WHERE status = 'stuck')::int AS stuck`,
    )),
    money: await one(
      'payment',
      `SELECT sum(initial)::float8 AS initial, sum(balance)::float8 AS now,
         sum(balance) FILTER (WHERE name LIKE 'till-%')::float8 AS merchant FROM account`,
    ),
    goods: await one('stock', 'SELECT sum(initial)::float8 AS initial, sum(available)::float8 AS now FROM product'),
  };
}

/** Sums that must hold at any moment, since each movement of money is one transaction. Pure. */
export function wrongAtAnyTime({ money }: Pick<WorldLook, 'money'>): readonly string[] {
  return money.initial === money.now ? [] : [`of ${money.initial} cents, ${money.now} are there`];
}

/** Sums that must hold when nothing is under way. Pure. */
export function wrongAtRest(
  { money, goods }: Pick<WorldLook, 'money' | 'goods'>,
  totals: OrdersState,
): readonly string[] {
  const taken = goods.initial - goods.now;
  return [
    ...wrongAtAnyTime({ money }),
    ...(money.merchant === totals.worth
      ? []
      : [`the merchant has ${money.merchant} cents, and the confirmed orders cost ${totals.worth}`]),
    ...(taken === totals.pieces ? [] : [`${taken} pieces are gone, and the confirmed orders had ${totals.pieces}`]),
  ];
}

/** Goods and money run short now and then, and not for ever: both come in again when they are nearly gone. */
export async function resupply(databases: Readonly<Record<DatabaseName, Database>>): Promise<void> {
  await databases.stock.query(
    'UPDATE product SET initial = initial + 60, available = available + 60 WHERE available < 4',
  );
  await databases.payment.query(
    `UPDATE account SET initial = initial + 150000, balance = balance + 150000 WHERE name LIKE 'customer-%' AND balance < 15000`,
  );
}
