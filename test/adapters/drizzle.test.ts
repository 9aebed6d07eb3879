/** Drizzle, on node-postgres and on postgres.js. */
import { sql, type SQL } from 'drizzle-orm';
import { drizzle as drizzleOnPg, type NodePgDatabase } from 'drizzle-orm/node-postgres';
import { bigserial, pgTable, text } from 'drizzle-orm/pg-core';
import { drizzle as drizzleOnPostgresJs, type PostgresJsDatabase } from 'drizzle-orm/postgres-js';
import { Pool } from 'pg';
import postgres from 'postgres';
import { drizzleRunner } from '../../src/adapters/drizzle.ts';
import { describeClient } from './conformance.ts';

const effect = pgTable('effect', { id: bigserial({ mode: 'bigint' }).primaryKey(), what: text().notNull() });

type TxOf<Db extends NodePgDatabase | PostgresJsDatabase> = Parameters<Parameters<Db['transaction']>[0]>[0];

/** What both have in common. */
interface DrizzleTx {
  execute(query: SQL): PromiseLike<unknown>;
}
const rest = {
  fail: async (tx: DrizzleTx) => tx.execute(sql`SELECT 1 / 0`),
  async read(tx: DrizzleTx, text_: string) {
    const result = (await tx.execute(sql.raw(text_))) as readonly unknown[] | { readonly rows: readonly unknown[] };
    return 'rows' in result ? result.rows[0] : result[0];
  },
};

describeClient<TxOf<NodePgDatabase>>('Drizzle on node-postgres', async (url) => {
  const pool = new Pool({ connectionString: url, max: 4 });
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  const db = drizzleOnPg(pool);
  return {
    ...rest,
    runner: drizzleRunner(db),
    root: db,
    write: (tx, what) => tx.insert(effect).values({ what }),
    nested: (tx, fn) => tx.transaction(fn),
    close: () => pool.end(),
  };
});

describeClient<TxOf<PostgresJsDatabase>>('Drizzle on postgres.js', async (url) => {
  // Its COMMIT would be a prepared statement, which the proxy that cuts it does not see by its text.
  const client = postgres(url, { max: 4, prepare: false });
  const db = drizzleOnPostgresJs(client);
  return {
    ...rest,
    runner: drizzleRunner(db),
    root: db,
    write: (tx, what) => tx.insert(effect).values({ what }),
    nested: (tx, fn) => tx.transaction(fn),
    close: () => client.end({ timeout: 1 }),
  };
});
