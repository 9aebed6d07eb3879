/** postgres.js. */
import postgres from 'postgres';
import { postgresJsRunner } from '../../src/adapters/postgres-js.ts';
import { describeClient } from './conformance.ts';

describeClient<postgres.TransactionSql>('postgres.js', async (url) => {
  // Its COMMIT would be a prepared statement, which the proxy that cuts it does not see by its text.
  const sql = postgres(url, { max: 4, prepare: false });
  return {
    runner: postgresJsRunner(sql),
    root: sql,
    write: (tx, what) => tx`INSERT INTO effect (what) VALUES (${what})`,
    fail: (tx) => tx`SELECT 1 / 0`,
    nested: (tx, fn) => tx.savepoint(fn),
    read: async (tx, text) => (await tx.unsafe(text))[0],
    close: () => sql.end({ timeout: 1 }),
  };
});
