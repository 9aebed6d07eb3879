/**
 * Transactions that hide their client, as those of ORMs do, and runners that deal with a broken connection, or with a handler that ends its
 * transaction, in the ways in which ORMs do.
 */
import type { Pool, PoolClient } from 'pg';
import { nodePostgresRunner } from '../../src/adapters/node-postgres.ts';
import type { Row } from '../../src/postgres/executor.ts';
import type { Runner } from '../../src/postgres/runner.ts';
import { eventually } from './eventually.ts';

export interface HiddenTx {
  rows(sql: string, parameters?: readonly unknown[]): Promise<readonly Row[]>;
}

export const hide = (client: PoolClient): HiddenTx => ({
  rows: async (sql, parameters = []) => (await client.query<Record<string, unknown>>(sql, [...parameters])).rows,
});

export const runnerOf = (transaction: Runner<HiddenTx>['transaction']): Runner<HiddenTx> => ({
  transaction,
  execute: (tx, sql, parameters) => tx.rows(sql, parameters),
});

export const honestRunner = (pool: Pool): Runner<HiddenTx> =>
  runnerOf((fn) => nodePostgresRunner(pool).transaction((client) => fn(hide(client))));

/** Says in words of its own that its transaction is closed, once the connection is gone. */
export const wordyRunner = (pool: Pool): Runner<HiddenTx> =>
  runnerOf((fn) =>
    nodePostgresRunner(pool).transaction((client) => {
      let isClosed = false;
      client.once('end', () => (isClosed = true));
      const rows: HiddenTx['rows'] = (sql, parameters) =>
        isClosed ? Promise.reject(new Error('The transaction is closed.')) : hide(client).rows(sql, parameters);
      return fn({ rows });
    }),
  );

/** Leaves as soon as the connection is gone, and answers no further statement. */
export const leavingRunner = (pool: Pool): Runner<HiddenTx> =>
  runnerOf((fn) =>
    nodePostgresRunner(pool).transaction((client) => {
      let isGone = false;
      const gone = new Promise<never>((_resolve, reject) => {
        client.once('end', () => {
          isGone = true;
          reject(new Error('Connection terminated'));
        });
      });
      const rows: HiddenTx['rows'] = (sql, parameters) =>
        isGone ? new Promise<never>(() => {}) : hide(client).rows(sql, parameters);
      return Promise.race([fn({ rows }), gone]);
    }),
  );

export const CLOSE_IT = 'CLOSE IT';

/** Has its handler end the transaction by `CLOSE_IT`, and says to all that follows that it is closed. */
export const closingRunner = (pool: Pool): Runner<HiddenTx> =>
  runnerOf((fn) =>
    nodePostgresRunner(pool).transaction((client) => {
      let isClosed = false;
      const rows: HiddenTx['rows'] = async (sql, parameters) => {
        if (isClosed) throw new Error('The transaction is closed.');
        isClosed = sql === CLOSE_IT;
        return hide(client).rows(isClosed ? 'ROLLBACK' : sql, parameters);
      };
      return fn({ rows });
    }),
  );

/** The server process of a transaction ends, and it is over before anything else happens. `beside`: another way to the same server. */
export async function endProcessOf(tx: HiddenTx, beside: Pool): Promise<void> {
  const [row] = await tx.rows('SELECT pg_backend_pid() AS pid');
  await beside.query('SELECT pg_terminate_backend($1)', [row?.['pid']]);
  await eventually('the process to be gone', async () => {
    const { rows } = await beside.query('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [row?.['pid']]);
    return rows.length === 0;
  });
}
