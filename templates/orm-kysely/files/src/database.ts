/** The database of this service: one pool, which Kysely and Holdfast share. */
import { openDatabase, transactionFor } from 'holdfast';
import { kyselyRunner } from 'holdfast/kysely';
import { Kysely, PostgresDialect, type Generated, type Transaction } from 'kysely';
import pg from 'pg';

export interface Tables {
  orders: { id: string; item: string; amount: string | number; state: Generated<string> };
  shipments: { order_id: string; item: string };
}

const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'] });
// A connection that is cut while it is idle is replaced by the pool.
pool.on('error', () => {});

export const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
export const database = openDatabase({ pool });

/** How requests and consumers open their transactions, how steps of sagas do, and what both are given. */
export const unitOfWork = { runner: kyselyRunner(db) };
export const transaction = transactionFor(unitOfWork.runner);
export type Tx = Transaction<Tables>;
