/**
 * What the examples of the docstrings find around them.
 */
import type { Kysely } from 'kysely';
import type { Pool, PoolClient } from 'pg';
import { z } from 'zod';
import {
  message,
  saga,
  step,
  type Database,
  type DrizzleTransactionHandle,
  type KnexTransactionHandle,
  type Logger,
  type Outbox,
  type PostgresJsTransactionHandle,
  type PrismaTransactionHandle,
  type Row,
  type SequelizeTransactionHandle,
  type Transport,
  type TypeormTransactionHandle,
} from 'holdfast';
import type { DrizzleDatabase } from 'holdfast/drizzle';
import type { KnexDatabase } from 'holdfast/knex';
import type { FlushingTransaction, MikroOrm } from 'holdfast/mikro-orm';
import type { PostgresJsSql } from 'holdfast/postgres-js';
import type { PrismaDatabase } from 'holdfast/prisma';
import type { SequelizeDatabase } from 'holdfast/sequelize';
import type { TypeormDataSource } from 'holdfast/typeorm';

export declare const database: Database;
export declare const pool: Pool;
export declare const client: PoolClient;
export declare const outbox: Outbox;
export declare const transport: Transport;
export declare const log: Logger;

export declare const db: DrizzleDatabase<DrizzleTransactionHandle>;
export declare const kysely: Kysely<{ orders: { id: string } }>;
export declare const knex: KnexDatabase<KnexTransactionHandle>;
export declare const sql: PostgresJsSql<PostgresJsTransactionHandle>;
export declare const prisma: PrismaDatabase<PrismaTransactionHandle>;
export declare const orm: MikroOrm<FlushingTransaction>;
export declare const sequelize: SequelizeDatabase<SequelizeTransactionHandle>;
export declare const dataSource: TypeormDataSource<TypeormTransactionHandle>;

export interface MyTransaction {
  insert(table: string, row: object): Promise<void>;
  delete(table: string, where: object): Promise<void>;
  rows(sql: string, parameters: readonly unknown[]): Promise<readonly Row[]>;
}
export declare const myClient: { inTransaction<T>(fn: (tx: MyTransaction) => Promise<T>): Promise<T> };

export const OrderPlaced = message('order.placed', { schema: z.object({ orderId: z.string(), total: z.number() }) });
export const ReserveStock = message('stock.reserve', { schema: z.object({ orderId: z.string() }) });
export const StockReserved = message('stock.reserved', { schema: z.object({ shelf: z.string() }) });
export const ReleaseStock = message('stock.release', { schema: z.object({ orderId: z.string() }) });

export const placeOrder = saga({
  name: 'place-order',
  input: z.object({ orderId: z.string() }),
  signals: { paid: z.object({ by: z.string() }) },
  steps: { note: step({ run: (orderId: string) => orderId.length, compensate: () => {} }) },
  async run({ input, steps }) {
    return { length: await steps.note(input.orderId) };
  },
});
