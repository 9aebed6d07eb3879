/**
 * A unit of work: the transaction that Holdfast opens around a handler. This is the port. postgres-unit-of-work.ts and
 * runner-unit-of-work.ts implement it, and everything of a consumer that touches the database goes through it.
 */
import type { Row, SqlExecutor, TransactionHandle } from '../../postgres/executor.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import type { TransactionLanes } from './transaction-lanes.ts';

/** With `$1`-style parameters; texts, because an implementation may put them into the SQL as literals. */
export interface Statement {
  readonly sql: string;
  readonly parameters: readonly (string | null)[];
  /** Only how many rows it wrote is asked; where clients report rows alone, one column is returned to be counted. */
  readonly counted?: boolean;
  /**
   * Its last parameter, null as it stands, is for how long the transaction may stand idle, in milliseconds: an implementation that limits
   * that puts it there, instead of sending a statement of its own.
   */
  readonly limitsIdle?: boolean;
}

export interface StatementResult {
  /** Rows written or read. */
  readonly count: number;
  /** Empty for counted statements. */
  readonly rows: readonly Row[];
}

export interface OpenUnitOfWork<Tx> {
  readonly tx: Tx;
  /** The transaction as the outbox takes it. */
  readonly handle: TransactionHandle;
  readonly execute: SqlExecutor;
  /** Of each opening statement. */
  readonly results: readonly StatementResult[];
  /**
   * Cuts the connection under a handler that hangs, and ends its backend, so that its locks are free and nothing it does later can
   * reach the database. Return `rollback` afterwards.
   */
  sever(): Promise<void>;
}

export interface TransactionEnd<T> {
  readonly end: 'commit' | 'rollback';
  readonly value: T;
  /** Statements of ours that go out in one text with COMMIT: when one fails, nothing is committed. Only with `commit`. */
  readonly closing?: readonly Statement[] | undefined;
}

export type UnitOfWorkResult<T> =
  /** `cut`: asked for rollback, and the connection had broken under the body, not by our doing. */
  | { readonly kind: 'ended'; readonly value: T; readonly cut?: boolean }
  | { readonly kind: 'failed'; readonly phase: UnitOfWorkPhase; readonly error: unknown };

/**
 * Where a unit of work failed. opening: nothing was run. cut: the connection had broken under the body, which took no notice, and it is rolled
 * back. closing: the server refused a closing statement, or the COMMIT in one text with it; it is rolled back. commit: rolled back, or, when
 * the connection broke, perhaps committed.
 */
export type UnitOfWorkPhase = 'opening' | 'body' | 'cut' | 'closing' | 'commit';

export interface UnitOfWorkOptions {
  /** Limit for the opening statements, and again for COMMIT, in milliseconds. */
  readonly timeoutMs: number;
  /** Names of the crash points around opening and COMMIT: 'inbox' gives inbox.begin, inbox.commit. */
  readonly points: string;
  /** Where it waits for its turn, and hands on its connection; null: neither. */
  readonly lanes?: TransactionLanes | null;
}

export interface UnitOfWork<Tx> {
  readonly schema: string;
  /**
   * BEGIN and `opening` in one round trip, then `body`, then what it asks for, with its closing statements in the round trip of COMMIT.
   * Rejects only for a simulated crash.
   */
  run<T>(
    opening: readonly Statement[],
    body: (opened: OpenUnitOfWork<Tx>) => Promise<TransactionEnd<T>>,
    options: UnitOfWorkOptions,
  ): Promise<UnitOfWorkResult<T>>;
  /** A plain transaction for Holdfast's own statements. Rejects as the database does. */
  transaction<T>(fn: (execute: SqlExecutor) => Promise<T>): Promise<T>;
}

/** What a test's crash point threw: it passes through everything, as the death of the process would. */
export class SimulatedCrash extends Error {
  override readonly name = 'SimulatedCrash';
}

/** Calls the hook; what it throws comes out as SimulatedCrash. */
export function guardCrashPoint(crash: CrashPoint): CrashPoint {
  return (point) => {
    try {
      crash(point);
    } catch (cause) {
      throw new SimulatedCrash(`stopped at ${point}`, { cause });
    }
  };
}

/**
 * The I/O points of a consumer, each called with `:before` and `:after`; inbox.ack has only `:before`, the rest is the transport's.
 *
 * @example
 * for (const point of INBOX_CRASH_POINTS) console.log(`${point}:before`, `${point}:after`);
 */
export const INBOX_CRASH_POINTS = [
  'inbox.begin',
  'inbox.handler',
  'inbox.commit',
  'inbox.window',
  'inbox.suspect',
  'inbox.park',
  'inbox.ack',
  'parked.claim',
  'parked.begin',
  'parked.handler',
  'parked.commit',
  'parked.keep',
] as const;
