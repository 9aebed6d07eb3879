/** node-postgres: a pool of the user's. */
import { Pool, type PoolClient } from 'pg';
import { nodePostgresRunner } from '../../src/adapters/node-postgres.ts';
import { describeClient } from './conformance.ts';

describeClient<PoolClient>('node-postgres', async (url) => {
  const pool = new Pool({ connectionString: url, max: 4 });
  pool.on('error', () => {});
  return {
    runner: nodePostgresRunner(pool),
    root: pool,
    write: (tx, what) => tx.query('INSERT INTO effect (what) VALUES ($1)', [what]),
    fail: (tx) => tx.query('SELECT 1 / 0'),
    nested: async (tx, fn) => {
      await tx.query('SAVEPOINT nested');
      try {
        await fn(tx);
      } catch (error) {
        await tx.query('ROLLBACK TO SAVEPOINT nested');
        throw error;
      }
      await tx.query('RELEASE SAVEPOINT nested');
    },
    read: async (tx, text) => (await tx.query<Record<string, unknown>>(text)).rows[0],
    close: () => pool.end(),
  };
});
