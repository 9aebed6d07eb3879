/** Transactions of TypeORM: the EntityManager of one, or its QueryRunner. */
import { hasMethods, notInTransaction, type OpenTransaction, type Row } from './client.ts';

/** The EntityManager of a transaction of TypeORM. */
export interface TypeormTransactionHandle {
  readonly queryRunner?: unknown;
  getRepository(target: never): unknown;
  query(query: string, parameters: never): Promise<unknown>;
  release(): Promise<void>;
}

/** A QueryRunner of TypeORM, in a transaction that was begun by `startTransaction`. */
export interface TypeormQueryRunnerHandle {
  readonly isTransactionActive: boolean;
  query(query: string, parameters: never): Promise<unknown>;
}

interface QueryRunner {
  readonly isTransactionActive: boolean;
  query(query: string, parameters: unknown[], structured: true): Promise<{ readonly records: readonly Row[] }>;
}

export function openTypeorm(tx: object): OpenTransaction | null {
  if (isQueryRunner(tx)) return ofQueryRunner(tx);
  if (!hasMethods(tx, 'getRepository', 'query')) return null;
  const { queryRunner } = tx as { readonly queryRunner?: unknown };
  if (isQueryRunner(queryRunner)) return ofQueryRunner(queryRunner);
  throw notInTransaction(
    'This is a DataSource of TypeORM, or its EntityManager, and not that of a transaction.',
    'Pass the manager of dataSource.transaction(async (manager) => …).',
  );
}

function ofQueryRunner(runner: QueryRunner): OpenTransaction {
  return {
    // The structured result has rows for all statements; the plain one has them not for all.
    execute: async (sql, parameters) => (await runner.query(sql, [...parameters], true)).records,
    showsTransaction: () => {
      if (!runner.isTransactionActive) {
        throw notInTransaction(
          'The QueryRunner of TypeORM is not in a transaction, or not any more.',
          'Use it between startTransaction() and commitTransaction(), or inside dataSource.transaction(…).',
        );
      }
      return false;
    },
  };
}

function isQueryRunner(value: unknown): value is QueryRunner {
  return (
    typeof value === 'object' &&
    value !== null &&
    hasMethods(value, 'query') &&
    typeof (value as QueryRunner).isTransactionActive === 'boolean'
  );
}
