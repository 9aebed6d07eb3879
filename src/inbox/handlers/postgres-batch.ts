/**
 * Batches on a Database (node-postgres). A message costs the round trips of its handler alone: the savepoint before it goes out
 * together with the handler's first statement, where the driver can send without waiting.
 */
import type { PoolClient } from 'pg';
import { lend } from '../../postgres/lent-client.ts';
import { Pipeline } from '../../postgres/pipeline.ts';
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
/**
 * Within the one before, which is never rolled back to any more: to release that would be one more statement for each message, and COMMIT
 * releases all of them.
 */
const NEXT_SAVEPOINT = SAVEPOINT.sql;
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
  readonly #pipeline: Pipeline;
  /** Why a savepoint that was not waited for could not be set. */
  #broken: { readonly error: unknown } | null = null;
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
    this.#pipeline = new Pipeline(transaction.client);
  }

  async member<T>(body: (opened: OpenUnitOfWork<PoolClient>) => Promise<TransactionEnd<T>>): Promise<MemberEnd<T>> {
    this.assertWhole();
    const transaction = this.#transaction;
    const { client } = transaction;
    if (!this.#fresh) await this.#setSavepoint();
    this.#fresh = false;
    const lent = lend(client, this.#pipeline);
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

  /** Throws when the connection was cut under a handler, or a savepoint could not be set. */
  assertWhole(): void {
    if (this.#broken !== null) throw this.#broken.error;
    if (this.#transaction.severed) throw new Error('The connection was cut under a handler that hung.');
  }

  /** Asked once everything is over: the client is then as it was before. */
  leftTraces(): boolean {
    return !this.#pipeline.end() || this.#traces;
  }

  /**
   * Resolves without the answer. When the message before has left a failed statement behind, this fails, and so does all that follows: what
   * the next handler does meanwhile cannot be committed.
   */
  async #setSavepoint(): Promise<void> {
    const pipeline = this.#pipeline;
    if (!pipeline.isOn) return this.#transaction.ask(NEXT_SAVEPOINT);
    pipeline.withNext(() => {
      this.#transaction.client.query(NEXT_SAVEPOINT).catch((error: unknown) => {
        this.#broken ??= { error };
      });
    });
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
