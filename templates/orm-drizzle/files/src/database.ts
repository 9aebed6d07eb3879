/** The database of this service: one pool, which Drizzle and Holdfast share. */
import { drizzle } from 'drizzle-orm/node-postgres';
import { openDatabase, transactionFor } from 'holdfast';
import { drizzleRunner } from 'holdfast/drizzle';
import pg from 'pg';

const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'] });
// A connection that is cut while it is idle is replaced by the pool.
pool.on('error', () => {});

export const db = drizzle({ client: pool });
export const database = openDatabase({ pool });

/** How requests and consumers open their transactions, how steps of sagas do, and what both are given. */
export const unitOfWork = { runner: drizzleRunner(db) };
export const transaction = transactionFor(unitOfWork.runner);
export type Tx = Parameters<Parameters<typeof db.transaction>[0]>[0];
