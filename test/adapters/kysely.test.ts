/** Kysely, with a plugin that renames columns. */
import { CamelCasePlugin, Kysely, PostgresDialect, sql, type Transaction } from 'kysely';
import { Pool } from 'pg';
import { kyselyRunner } from '../../src/adapters/kysely.ts';
import { describeClient } from './conformance.ts';

interface Tables {
  effect: { what: string };
}

describeClient<Transaction<Tables>>('Kysely', async (url) => {
  const pool = new Pool({ connectionString: url, max: 4 });
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }), plugins: [new CamelCasePlugin()] });
  return {
    runner: kyselyRunner(db),
    root: db,
    write: (tx, what) => tx.insertInto('effect').values({ what }).execute(),
    fail: (tx) => sql`SELECT 1 / 0`.execute(tx),
    nested: async (tx, fn) => {
      await sql`SAVEPOINT nested`.execute(tx);
      try {
        await fn(tx);
      } catch (error) {
        await sql`ROLLBACK TO SAVEPOINT nested`.execute(tx);
        throw error;
      }
      await sql`RELEASE SAVEPOINT nested`.execute(tx);
    },
    read: async (tx, text) => (await sql.raw(text).execute(tx)).rows[0],
    close: () => db.destroy(),
  };
});
