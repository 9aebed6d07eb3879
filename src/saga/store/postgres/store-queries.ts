/**
 * Statements of the stores of workers: in time, on connections of the pool, with errors in the words of Holdfast.
 */
import type pg from 'pg';
import { HoldfastError } from '../../../errors.ts';
import type { Database } from '../../../postgres/database.ts';
import { quoteIdentifier } from '../../../postgres/quoting.ts';
import { sqlStateOf, translateSqlError } from '../../../postgres/sql-state.ts';
import { leaseLost } from '../commit-error.ts';
import type { SagaVersion } from '../store.ts';

/** The time of the database, in milliseconds: the last one that has passed, so that nothing which is due by it comes early. */
export const SQL_NOW = 'floor(extract(epoch FROM clock_timestamp()) * 1000)::float8';

export class StoreQueries {
  readonly database: Database;
  /** The schema, quoted. */
  readonly s: string;
  readonly inTime: { readonly timeoutMs: number };

  constructor(database: Database, timeoutMs: number) {
    this.database = database;
    this.s = quoteIdentifier(database.schema);
    this.inTime = { timeoutMs };
  }

  async rows<R extends object>(sql: string, values: readonly unknown[]): Promise<readonly R[]> {
    try {
      return (await this.database.query(sql, values, this.inTime)).rows as R[];
    } catch (error) {
      throw translateStoreError(error);
    }
  }

  async transaction<T>(act: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    try {
      return await this.database.transaction(act, this.inTime);
    } catch (error) {
      throw translateStoreError(error);
    }
  }
}

export function translateStoreError(error: unknown): Error {
  if (sqlStateOf(error) === 'HF001') return leaseLost(error);
  return error instanceof HoldfastError ? error : translateSqlError(error);
}

/** Names and versions, as two parameters of a statement. */
export function versionArrays(sagas: readonly SagaVersion[]): readonly [readonly string[], readonly number[]] {
  return [sagas.map(({ saga }) => saga), sagas.map(({ version }) => version)];
}
