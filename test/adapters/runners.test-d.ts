/**
 * What the compiler knows of transactions of ORMs: `tx` is their own, without an annotation, and what is no transaction is refused where
 * their types tell it.
 */
import type { EntityManager as MikroEntityManager, MikroORM } from '@mikro-orm/postgresql';
import type { NodePgDatabase } from 'drizzle-orm/node-postgres';
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js';
import type { Knex } from 'knex';
import type { Kysely, Transaction } from 'kysely';
import type pg from 'pg';
import type postgres from 'postgres';
import type { Sequelize, Transaction as SequelizeTransaction } from 'sequelize';
import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import { expectTypeOf } from 'vitest';
import { z } from 'zod';
import { drizzleRunner } from '../../src/adapters/drizzle.ts';
import { knexRunner } from '../../src/adapters/knex.ts';
import { kyselyRunner } from '../../src/adapters/kysely.ts';
import { mikroOrmRunner } from '../../src/adapters/mikro-orm.ts';
import { nodePostgresRunner } from '../../src/adapters/node-postgres.ts';
import { postgresJsRunner } from '../../src/adapters/postgres-js.ts';
import { sequelizeRunner } from '../../src/adapters/sequelize.ts';
import { typeormRunner } from '../../src/adapters/typeorm.ts';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { message } from '../../src/message/message-type.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import type { TransactionHandle } from '../../src/postgres/executor.ts';
import type { Runner } from '../../src/postgres/runner.ts';
import { transactionFor } from '../../src/saga/kinds/transaction.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import type { Transport } from '../../src/transport/port.ts';

interface Tables {
  effect: { id: string };
}
const Placed = message('order.placed', { schema: z.object({ orderId: z.string() }) });
declare const transport: Transport;
declare const pool: pg.Pool;
declare const kysely: Kysely<Tables>;
declare const onPg: NodePgDatabase;
declare const onPostgresJs: PostgresJsDatabase;
declare const knex: Knex;
declare const sql: postgres.Sql;
declare const orm: MikroORM;
declare const sequelize: Sequelize;
declare const dataSource: DataSource;

type DrizzleTx<Db extends NodePgDatabase | PostgresJsDatabase> = Parameters<Parameters<Db['transaction']>[0]>[0];
type TxOf<R> = R extends Runner<infer Tx> ? Tx : never;

// The transactions themselves are taken.
expectTypeOf<DrizzleTx<NodePgDatabase>>().toExtend<TransactionHandle>();
expectTypeOf<DrizzleTx<PostgresJsDatabase>>().toExtend<TransactionHandle>();
expectTypeOf<Knex.Transaction>().toExtend<TransactionHandle>();
expectTypeOf<postgres.TransactionSql>().toExtend<TransactionHandle>();
expectTypeOf<MikroEntityManager>().toExtend<TransactionHandle>();
expectTypeOf<SequelizeTransaction>().toExtend<TransactionHandle>();
expectTypeOf<EntityManager>().toExtend<TransactionHandle>();
expectTypeOf<QueryRunner>().toExtend<TransactionHandle>();

// What cannot be one is not. The EntityManagers of MikroORM and TypeORM have one type, in a transaction or not.
expectTypeOf<NodePgDatabase>().not.toExtend<TransactionHandle>();
expectTypeOf<PostgresJsDatabase>().not.toExtend<TransactionHandle>();
expectTypeOf<Knex>().not.toExtend<TransactionHandle>();
expectTypeOf<postgres.Sql>().not.toExtend<TransactionHandle>();
expectTypeOf<MikroORM>().not.toExtend<TransactionHandle>();
expectTypeOf<Sequelize>().not.toExtend<TransactionHandle>();
expectTypeOf<DataSource>().not.toExtend<TransactionHandle>();

// A runner opens them.
const runners = {
  pg: nodePostgresRunner(pool),
  kysely: kyselyRunner(kysely),
  onPg: drizzleRunner(onPg),
  onPostgresJs: drizzleRunner(onPostgresJs),
  knex: knexRunner(knex),
  postgresJs: postgresJsRunner(sql),
  mikro: mikroOrmRunner(orm),
  sequelize: sequelizeRunner(sequelize),
  typeorm: typeormRunner(dataSource),
};
expectTypeOf<TxOf<typeof runners.pg>>().toEqualTypeOf<pg.PoolClient>();
expectTypeOf<TxOf<typeof runners.kysely>>().toEqualTypeOf<Transaction<Tables>>();
expectTypeOf<TxOf<typeof runners.onPg>>().toEqualTypeOf<DrizzleTx<NodePgDatabase>>();
expectTypeOf<TxOf<typeof runners.onPostgresJs>>().toEqualTypeOf<DrizzleTx<PostgresJsDatabase>>();
expectTypeOf<TxOf<typeof runners.knex>>().toEqualTypeOf<Knex.Transaction>();
expectTypeOf<TxOf<typeof runners.postgresJs>>().toEqualTypeOf<postgres.TransactionSql>();
expectTypeOf<TxOf<typeof runners.mikro>>().toExtend<MikroEntityManager>();
expectTypeOf<TxOf<typeof runners.sequelize>>().toEqualTypeOf<SequelizeTransaction>();
expectTypeOf<TxOf<typeof runners.typeorm>>().toEqualTypeOf<EntityManager>();

// Handlers get them, without a word.
createConsumer('a', {
  runner: drizzleRunner(onPg),
  transport,
  handlers: (on) => [
    on(Placed, async (_order, { tx, send }) => {
      expectTypeOf(tx).toEqualTypeOf<DrizzleTx<NodePgDatabase>>();
      await createOutbox().send(tx, Placed, { orderId: 'o' });
      await send(Placed, { orderId: 'o' });
    }),
  ],
});
createConsumer('b', {
  runner: kyselyRunner(kysely),
  transport,
  handlers: (on) => [on(Placed, (_order, { tx }) => expectTypeOf(tx).toEqualTypeOf<Transaction<Tables>>())],
});
createParticipant('c', {
  runner: sequelizeRunner(sequelize),
  transport,
  handlers: (handle) => [handle(Placed, (_order, { tx }) => expectTypeOf(tx).toEqualTypeOf<SequelizeTransaction>())],
});
const inKnex = transactionFor(knexRunner(knex));
const booked = inKnex({
  run: async (amount: number, { tx, idempotencyKey }) => {
    expectTypeOf(tx).toEqualTypeOf<Knex.Transaction>();
    await tx('booking').insert({ id: idempotencyKey, amount });
    return { booked: amount };
  },
  compensate: async ({ input, key }, { tx }) => {
    expectTypeOf(input).toEqualTypeOf<number>();
    expectTypeOf(tx).toEqualTypeOf<Knex.Transaction>();
    await tx('booking').delete().where({ id: key });
  },
});
expectTypeOf(booked['~types']).exclude<undefined>().toHaveProperty('output').toEqualTypeOf<{ booked: number }>();

// @ts-expect-error a database of Drizzle is no transaction
void createOutbox().send(onPg, Placed, { orderId: 'o' });
// @ts-expect-error nor is Knex itself
void createOutbox().send(knex, Placed, { orderId: 'o' });
// @ts-expect-error nor is a DataSource
void createOutbox().send(dataSource, Placed, { orderId: 'o' });
// @ts-expect-error a runner opens transactions, which a transaction of Drizzle's own does not show to be
drizzleRunner(sequelize);
