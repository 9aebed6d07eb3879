/**
 * Batches on a Database (node-postgres). A message costs the round trips of its handler, and one for the end of the savepoint
 * before its own and its beginning.
 */
import type { PoolClient } from 'pg';
import { lend } from '../../postgres/lent-client.ts';
import type { BatchBody, BatchResult, MemberEnd, OpenBatch } from './batch-work.ts';
import { abortedTransaction, ClientTransaction, executorOf } from './client-transaction.ts';
import { transactionTrouble, type PostgresUnitOfWorkOptions } from './postgres-tools.ts';
import {
  SimulatedCrash,
  type OpenUnitOfWork,
  type Statement,
  type StatementResult,
  type TransactionEnd,
  type UnitOfWorkOptions,
} from './unit-of-work.ts';

const SAVEPOINT: Statement = { sql: 'SAVEPOINT holdfast_message', parameters: [] };
const NEXT_SAVEPOINT = `RELEASE SAVEPOINT holdfast_message;${SAVEPOINT.sql}`;
const ROLLBACK_TO = 'ROLLBACK TO SAVEPOINT holdfast_message';

/** Rejects only for a simulated crash. */
export async function runPostgresBatch(
  unit: PostgresUnitOfWorkOptions,
  opening: readonly Statement[],
  body: BatchBody<PoolClient>,
  { timeoutMs, points }: UnitOfWorkOptions,
): Promise<BatchResult> {
  const { crash } = unit;
  const transaction = new ClientTransaction(unit, timeoutMs);
  let phase: 'opening' | 'body' | 'commit' = 'opening';
  try {
    const results = await transaction.begin([...opening, SAVEPOINT], () => crash(`${points}.begin:before`));
    crash(`${points}.begin:after`);
    phase = 'body';
    const batch = new PostgresBatch(unit, transaction, results, points);
    const closing = await body(batch);
    batch.assertWhole();
    if (closing === null) {
      await transaction.rollBack(batch);
      return { kind: 'rolled back' };
    }
    phase = 'commit';
    crash(`${points}.commit:before`);
    const committed = await transaction.commit(closing);
    crash(`${points}.commit:after`);
    if (!committed) return { kind: 'failed', phase: 'body', error: abortedTransaction() };
    transaction.keepConnection(batch);
    return { kind: 'committed' };
  } catch (error) {
    if (error instanceof SimulatedCrash) throw error;
    return { kind: 'failed', phase, error };
  } finally {
    transaction.giveBack();
  }
}

class PostgresBatch implements OpenBatch<PoolClient> {
  readonly results: readonly StatementResult[];
  readonly #unit: PostgresUnitOfWorkOptions;
  readonly #transaction: ClientTransaction;
  readonly #points: string;
  /** Whether nothing was done since the savepoint was set, or rolled back to. */
  #fresh = true;
  #traces = false;

  constructor(
    unit: PostgresUnitOfWorkOptions,
    transaction: ClientTransaction,
    results: readonly StatementResult[],
    points: string,
  ) {
    this.#unit = unit;
    this.#transaction = transaction;
    this.results = results;
    this.#points = points;
  }

  async member<T>(body: (opened: OpenUnitOfWork<PoolClient>) => Promise<TransactionEnd<T>>): Promise<MemberEnd<T>> {
    this.assertWhole();
    const transaction = this.#transaction;
    const { client } = transaction;
    if (!this.#fresh) await this.#transaction.ask(NEXT_SAVEPOINT);
    this.#fresh = false;
    const lent = lend(client);
    let asked: TransactionEnd<T>;
    try {
      asked = await body({
        tx: lent.tx,
        handle: lent.tx,
        execute: executorOf(client),
        results: this.results,
        sever: () => transaction.sever(),
      });
    } finally {
      // What it left behind would run in the savepoint of the next one.
      lent.takeBack();
    }
    this.assertWhole();
    this.#traces ||= lent.leftTraces();
    const kept = asked.end === 'commit' && (lent.trouble() ?? transactionTrouble(client)) === null;
    if (!kept) await this.#rollBackTo();
    // For the statements of ours that follow.
    else await lent.restoreRole();
    return { value: asked.value, kept, last: lent.changedTransaction() };
  }

  /** Throws when the connection was cut under a handler. */
  assertWhole(): void {
    if (this.#transaction.severed) throw new Error('The connection was cut under a handler that hung.');
  }

  leftTraces(): boolean {
    return this.#traces;
  }

  /** Takes with it whatever the handler has left open: transactions of its own, a failed statement. */
  async #rollBackTo(): Promise<void> {
    const { crash } = this.#unit;
    crash(`${this.#points}.rollback:before`);
    await this.#transaction.ask(ROLLBACK_TO);
    crash(`${this.#points}.rollback:after`);
    this.#fresh = true;
  }
}
