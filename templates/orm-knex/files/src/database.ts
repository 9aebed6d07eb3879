/** The database of this service: Knex, and Holdfast's own few connections beside it. */
import { openDatabase, transactionFor } from 'holdfast';
import { knexRunner } from 'holdfast/knex';
import knex, { type Knex } from 'knex';

export const db = knex({ client: 'pg', connection: process.env['DATABASE_URL'] ?? '' });
export const database = openDatabase({ url: process.env['DATABASE_URL'] });

/** How requests and consumers open their transactions, how steps of sagas do, and what both are given. */
export const unitOfWork = { runner: knexRunner(db) };
export const transaction = transactionFor(unitOfWork.runner);
export type Tx = Knex.Transaction;
