/** The tables of this service. In production make them with your migrations; those of Holdfast are made by `holdfast migrate`. */
import type { Database } from 'holdfast';

export async function createTables(database: Database): Promise<void> {
  await database.query(
    `CREATE TABLE IF NOT EXISTS orders (
       id text PRIMARY KEY, item text NOT NULL, amount numeric NOT NULL, state text NOT NULL DEFAULT 'placed')`,
  );
  await database.query('CREATE TABLE IF NOT EXISTS shipments (order_id text PRIMARY KEY, item text NOT NULL)');
}
