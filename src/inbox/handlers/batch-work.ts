/**
 * The port for several messages in one transaction, each under a savepoint: what one of them does can be rolled back without the others.
 * postgres-batch.ts implements it.
 */
import type { OpenUnitOfWork, Statement, StatementResult, TransactionEnd, UnitOfWorkOptions } from './unit-of-work.ts';

export interface OpenBatch<Tx> {
  /** Of each opening statement. */
  readonly results: readonly StatementResult[];
  /**
   * Runs `body` for one message under a savepoint of its own, which is rolled back unless it asks for `commit`. Rejects when nothing more
   * can be done in this transaction; it is then rolled back as a whole.
   */
  member<T>(body: (opened: OpenUnitOfWork<Tx>) => Promise<TransactionEnd<T>>): Promise<MemberEnd<T>>;
}

export interface MemberEnd<T> {
  readonly value: T;
  /** False: asked for `rollback`, or what it did cannot be committed. */
  readonly kept: boolean;
  /** What it has set or made lasts as long as the transaction: nobody else's handler may run in it. */
  readonly last: boolean;
}

export type BatchResult =
  | { readonly kind: 'committed' | 'rolled back' }
  /** commit: rolled back, or, when the connection broke, perhaps committed. */
  | { readonly kind: 'failed'; readonly phase: 'opening' | 'body' | 'commit'; readonly error: unknown };

/** Resolves with the statements that go in one text with COMMIT, or with null to roll back. */
export type BatchBody<Tx> = (batch: OpenBatch<Tx>) => Promise<readonly Statement[] | null>;

/** BEGIN, `opening` and the first savepoint in one round trip, then `body`. Rejects only for a simulated crash. */
export type RunBatch<Tx> = (
  opening: readonly Statement[],
  body: BatchBody<Tx>,
  options: UnitOfWorkOptions,
) => Promise<BatchResult>;

/**
 * The I/O points of a batch, each called with `:before` and `:after`.
 *
 * @example
 * for (const point of BATCH_CRASH_POINTS) console.log(`${point}:before`, `${point}:after`);
 */
export const BATCH_CRASH_POINTS = ['batch.begin', 'batch.handler', 'batch.rollback', 'batch.commit'] as const;
