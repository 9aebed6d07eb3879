/** The database of this service: one pool, which Drizzle and Holdfast share. */
import { drizzle } from 'drizzle-orm/node-postgres';
import { numeric, pgTable, text } from 'drizzle-orm/pg-core';
import { openDatabase } from 'holdfast';
import pg from 'pg';

export const orders = pgTable('orders', {
  id: text().primaryKey(),
  item: text().notNull(),
  amount: numeric({ mode: 'number' }).notNull(),
  state: text().notNull().default('placed'),
});

const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'] });
// A connection that is cut while it is idle is replaced by the pool.
pool.on('error', () => {});

export const db = drizzle({ client: pool });
export const database = openDatabase({ pool });
