/** The database of this service. */
import { openDatabase } from 'holdfast';
import type { PoolClient } from 'pg';

export const database = openDatabase({ url: process.env['DATABASE_URL'] });

/** How requests and consumers open their transactions, how steps of sagas do, and what both are given. */
export const unitOfWork = { database };
export { transaction } from 'holdfast';
export type Tx = PoolClient;
