/** Knex. */
import knex, { type Knex } from 'knex';
import { knexRunner } from '../../src/adapters/knex.ts';
import { describeClient } from './conformance.ts';

describeClient<Knex.Transaction>('Knex', async (url) => {
  const db = knex({ client: 'pg', connection: url, pool: { min: 0, max: 4 } });
  return {
    runner: knexRunner(db),
    root: db,
    write: (tx, what) => tx('effect').insert({ what }),
    fail: async (tx) => tx.raw('SELECT 1 / 0'),
    nested: (tx, fn) => tx.transaction((inner) => fn(inner)),
    read: async (tx, text) => (await tx.raw<{ readonly rows: readonly unknown[] }>(text)).rows[0],
    close: () => db.destroy(),
  };
});
