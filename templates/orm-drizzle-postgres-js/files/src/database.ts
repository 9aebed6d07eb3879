/** The database of this service: Drizzle on postgres.js, and Holdfast's own few connections beside it. */
import { drizzle } from 'drizzle-orm/postgres-js';
import { openDatabase, transactionFor } from 'holdfast';
import { drizzleRunner } from 'holdfast/drizzle';
import postgres from 'postgres';

export const db = drizzle({ client: postgres(process.env['DATABASE_URL'] ?? '') });
export const database = openDatabase({ url: process.env['DATABASE_URL'] });

/** How requests and consumers open their transactions, how steps of sagas do, and what both are given. */
export const unitOfWork = { runner: drizzleRunner(db) };
export const transaction = transactionFor(unitOfWork.runner);
export type Tx = Parameters<Parameters<typeof db.transaction>[0]>[0];
