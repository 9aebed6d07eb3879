/**
 * The narrowest view of a database handle: run one statement. Everything that writes inside a caller's transaction
 * goes through it, so that no driver or ORM is imported to serve one. Handles are told apart by their shape (clients/).
 */

import { HoldfastError } from '../errors.ts';
import type { OpenTransaction, Recognise, Row, SqlExecutor } from './clients/client.ts';
import { openDrizzle, type DrizzleTransactionHandle } from './clients/drizzle.ts';
import { openKnex, type KnexTransactionHandle } from './clients/knex.ts';
import { openKysely, type KyselyTransactionHandle } from './clients/kysely.ts';
import { openMikroOrm, type MikroOrmTransactionHandle } from './clients/mikro-orm.ts';
import { openPgClient, openPgWrapper, type PgClientHandle } from './clients/pg-client.ts';
import { openPostgresJs, type PostgresJsTransactionHandle } from './clients/postgres-js.ts';
import { openPrisma, type PrismaTransactionHandle } from './clients/prisma.ts';
import { openSequelize, type SequelizeTransactionHandle } from './clients/sequelize.ts';
import { openTypeorm, type TypeormQueryRunnerHandle, type TypeormTransactionHandle } from './clients/typeorm.ts';

export type { OpenTransaction, Row, SqlExecutor };

/** The caller's open transaction, in their client or ORM. Any other function is taken as a SqlExecutor. */
export type TransactionHandle =
  | PgClientHandle
  | KyselyTransactionHandle
  | DrizzleTransactionHandle
  | KnexTransactionHandle
  | MikroOrmTransactionHandle
  | PostgresJsTransactionHandle
  | PrismaTransactionHandle
  | SequelizeTransactionHandle
  | TypeormTransactionHandle
  | TypeormQueryRunnerHandle
  | SqlExecutor;

/** In this order: what has no more than `query` is taken for a client of node-postgres if nobody else knows it. */
const OBJECTS: readonly Recognise[] = [
  openPgClient,
  openKysely,
  openDrizzle,
  openTypeorm,
  openMikroOrm,
  openPrisma,
  openSequelize,
  openPgWrapper,
];
const FUNCTIONS: readonly Recognise[] = [openKnex, openPostgresJs];

/**
 * The executor of a transaction handle. Throws HF_TX_UNSUPPORTED for a handle of no known kind and HF_NOT_IN_TRANSACTION for one
 * that shows that it is not in an open transaction.
 */
export function toExecutor(tx: TransactionHandle): SqlExecutor {
  const transaction = openTransaction(tx);
  transaction.showsTransaction();
  return transaction.execute;
}

/** Handles that were looked at before: what they are does not change, and every message that is sent comes through here. */
const known = new WeakMap<object, OpenTransaction>();

/** As toExecutor, for callers that look again before each statement. */
export function openTransaction(tx: TransactionHandle): OpenTransaction {
  if (typeof tx !== 'function' && (typeof tx !== 'object' || tx === null)) throw unsupported(tx);
  const seen = known.get(tx);
  if (seen !== undefined) return seen;
  if (typeof tx === 'function') {
    // Executors are often made for a single call, and not worth remembering.
    const found = recognise(tx, FUNCTIONS);
    if (found === null) return { execute: tx, showsTransaction: () => false };
    known.set(tx, found);
    return found;
  }
  const found = recognise(tx, OBJECTS);
  if (found === null) throw unsupported(tx);
  known.set(tx, found);
  return found;
}

function recognise(tx: object, clients: readonly Recognise[]): OpenTransaction | null {
  for (const open of clients) {
    const found = open(tx);
    if (found !== null) return found;
  }
  return null;
}

function unsupported(tx: unknown): HoldfastError {
  return new HoldfastError('HF_TX_UNSUPPORTED', `${describe(tx)} is no transaction handle that Holdfast knows.`, {
    advice:
      'Pass the open transaction of node-postgres, Kysely, Drizzle, Knex, MikroORM, postgres.js, Prisma, Sequelize or TypeORM, or a function (sql, parameters) => Promise<rows> that runs in your transaction.',
  });
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value !== 'object') return `A ${typeof value}`;
  const name = value.constructor?.name ?? 'Object';
  return name === 'Object' ? 'An object' : `A ${name}`;
}
