import type { ControlledTransaction, Kysely, Transaction } from 'kysely';
import type pg from 'pg';
import { expectTypeOf } from 'vitest';
import type { SqlExecutor, TransactionHandle } from '../../src/postgres/executor.ts';

interface Tables {
  item: { id: number };
}

expectTypeOf<pg.Client>().toExtend<TransactionHandle>();
expectTypeOf<pg.PoolClient>().toExtend<TransactionHandle>();
expectTypeOf<Transaction<Tables>>().toExtend<TransactionHandle>();
expectTypeOf<ControlledTransaction<Tables>>().toExtend<TransactionHandle>();
expectTypeOf<SqlExecutor>().toExtend<TransactionHandle>();

// What cannot be a transaction is refused by the compiler already.
expectTypeOf<pg.Pool>().not.toExtend<TransactionHandle>();
expectTypeOf<Kysely<Tables>>().not.toExtend<TransactionHandle>();
