/** The database of this service: postgres.js, and Holdfast's own few connections beside it. */
import { openDatabase, transactionFor } from 'holdfast';
import { postgresJsRunner } from 'holdfast/postgres-js';
import postgres, { type TransactionSql } from 'postgres';

export const sql = postgres(process.env['DATABASE_URL'] ?? '');
export const database = openDatabase({ url: process.env['DATABASE_URL'] });

/** How requests and consumers open their transactions, how steps of sagas do, and what both are given. */
export const unitOfWork = { runner: postgresJsRunner(sql) };
export const transaction = transactionFor(unitOfWork.runner);
export type Tx = TransactionSql;
