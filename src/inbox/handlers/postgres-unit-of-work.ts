/**
 * Units of work on a Database (node-postgres): the handler gets a PoolClient.
 * BEGIN and the inbox mark go out as one text in one round trip: with the handler's own statement and COMMIT that makes three
 * instead of the four of a loop written by hand, which pays for everything else a consumer does.
 */
import type { PoolClient } from 'pg';
import type { SqlExecutor } from '../../postgres/executor.ts';
import { lend } from '../../postgres/lent-client.ts';
import { saidByServer } from './classify-error.ts';
import { abortedTransaction, ClientTransaction, cutTransaction, executorOf } from './client-transaction.ts';
import { transactionTrouble, type PostgresUnitOfWorkOptions } from './postgres-tools.ts';
import {
  SimulatedCrash,
  type OpenUnitOfWork,
  type Statement,
  type TransactionEnd,
  type UnitOfWork,
  type UnitOfWorkOptions,
  type UnitOfWorkPhase,
  type UnitOfWorkResult,
} from './unit-of-work.ts';

/** How long transactions of our own may take (parking, claiming for a redrive, pruning a chunk), in milliseconds. */
const OWN_TIMEOUT_MS = 30_000;

export function createPostgresUnitOfWork(options: PostgresUnitOfWorkOptions): UnitOfWork<PoolClient> {
  return new PostgresUnitOfWork(options);
}

class PostgresUnitOfWork implements UnitOfWork<PoolClient> {
  readonly schema: string;
  readonly #options: PostgresUnitOfWorkOptions;

  constructor(options: PostgresUnitOfWorkOptions) {
    this.schema = options.database.schema;
    this.#options = options;
  }

  async run<T>(
    opening: readonly Statement[],
    body: (opened: OpenUnitOfWork<PoolClient>) => Promise<TransactionEnd<T>>,
    { timeoutMs, points, lanes = null }: UnitOfWorkOptions,
  ): Promise<UnitOfWorkResult<T>> {
    const { crash } = this.#options;
    const transaction = new ClientTransaction(this.#options, timeoutMs, lanes);
    let phase: UnitOfWorkPhase = 'opening';
    let asked: TransactionEnd<T> | null = null;
    try {
      const results = await transaction.begin(opening, () => crash(`${points}.begin:before`));
      crash(`${points}.begin:after`);
      phase = 'body';
      const { client } = transaction;
      const lent = lend(client);
      try {
        asked = await body({
          tx: lent.tx,
          handle: lent.tx,
          execute: executorOf(client),
          results,
          sever: () => transaction.sever(),
        });
      } finally {
        lent.takeBack();
      }
      if (transaction.severed) return { kind: 'ended', value: asked.value };
      if (asked.end === 'rollback') {
        await transaction.rollBack(lent);
        return { kind: 'ended', value: asked.value, cut: transaction.isCut };
      }
      // Before what it has left behind, which may have come of that.
      if (transaction.isCut) return { kind: 'failed', phase: 'cut', error: cutTransaction() };
      const trouble = lent.trouble() ?? transactionTrouble(client);
      if (trouble !== null) return { kind: 'failed', phase, error: trouble };
      phase = 'commit';
      crash(`${points}.commit:before`);
      const committed = await transaction.commit(asked.closing, lent);
      crash(`${points}.commit:after`);
      if (!committed) return { kind: 'failed', phase, error: abortedTransaction() };
      transaction.keepConnection(lent);
      return { kind: 'ended', value: asked.value };
    } catch (error) {
      if (error instanceof SimulatedCrash) throw error;
      return { kind: 'failed', phase: phase === 'commit' && closingRefused(error, asked) ? 'closing' : phase, error };
    } finally {
      transaction.giveBack();
    }
  }

  transaction<T>(fn: (execute: SqlExecutor) => Promise<T>): Promise<T> {
    return this.#options.database.transaction((client) => fn(executorOf(client)), { timeoutMs: OWN_TIMEOUT_MS });
  }
}

/** Whether it is known that nothing was committed: without the server's word, its COMMIT may have been heard. */
function closingRefused<T>(error: unknown, asked: TransactionEnd<T> | null): boolean {
  return (asked?.closing?.length ?? 0) > 0 && saidByServer(error);
}
