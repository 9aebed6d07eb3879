/** Runner for postgres.js: `holdfast/postgres-js`. */
import type { PostgresJsTransactionHandle } from '../postgres/clients/postgres-js.ts';
import type { Runner } from '../postgres/runner.ts';

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
      // It would await the members of an array, and take one of promises apart.
      const { result } = (await sql.begin('', async (tx: Tx) => ({ result: await fn(tx) }))) as { readonly result: T };
      return result;
    },
  };
}
