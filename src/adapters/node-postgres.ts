/** Runner for node-postgres: `holdfast/node-postgres`. */
import type { Pool, PoolClient } from 'pg';
import { runTransaction } from '../postgres/transaction.ts';
import type { Runner } from '../postgres/runner.ts';

/**
 * Consumers, participants and transaction steps in the transactions of a pool of node-postgres.
 *
 * @example
 * const runner = nodePostgresRunner(pool);
 */
export function nodePostgresRunner(pool: Pool): Runner<PoolClient> {
  return {
    async transaction(fn) {
      const client = await pool.connect();
      let broken: Error | undefined;
      const onError = (error: Error): void => void (broken = error);
      client.on('error', onError);
      try {
        return await runTransaction(client, 'BEGIN', fn);
      } finally {
        client.off('error', onError);
        // One that is not known to be out of its transaction must serve nobody else.
        client.release(broken ?? client.getTransactionStatus() !== 'I');
      }
    },
  };
}
