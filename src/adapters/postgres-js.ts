/** Runner for postgres.js: `holdfast/postgres-js`. */
import type { PostgresJsTransactionHandle } from '../postgres/clients/postgres-js.ts';
import type { Runner } from '../postgres/runner.ts';
import { unlessLeft } from './left-transaction.ts';

/** What `postgres(…)` returns, as far as it matters here. */
export interface PostgresJsSql<Tx> {
  begin(options: string, fn: (sql: Tx) => unknown): Promise<unknown>;
}

/**
 * Consumers, participants and transaction steps in the transactions of postgres.js.
 *
 * @example
 * const runner = postgresJsRunner(sql);
 */
export function postgresJsRunner<Tx extends PostgresJsTransactionHandle>(sql: PostgresJsSql<Tx>): Runner<Tx> {
  return {
    async transaction<T>(fn: (tx: Tx) => Promise<T>) {
      interface Boxed {
        readonly result: T;
      }
      // It would await the members of an array, and take one of promises apart.
      const boxed = async (tx: Tx): Promise<Boxed> => ({ result: await fn(tx) });
      const { result } = await unlessLeft((run) => sql.begin('', run) as Promise<Boxed>, boxed);
      return result;
    },
  };
}
