/**
 * Units of work in memory: a handler gets the stand-in that the test makes for its transaction, or one that says what is missing as soon as
 * it is touched.
 */
import { HoldfastError } from '../../errors.ts';
import {
  SimulatedCrash,
  type OpenUnitOfWork,
  type Statement,
  type StatementResult,
  type TransactionEnd,
  type UnitOfWork,
  type UnitOfWorkOptions,
  type UnitOfWorkPhase,
  type UnitOfWorkResult,
} from '../../inbox/handlers/unit-of-work.ts';
import type { SqlExecutor, TransactionHandle } from '../../postgres/executor.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import type { MemoryDatabase, MemoryWork } from './memory-work.ts';

/** What stands for the transactions of a service. */
export interface StandIn<Tx> {
  /** Makes one. */
  readonly transaction: () => Tx;
  /** Told how it ended, within the commit itself; null: it need not know. */
  readonly endTransaction: ((tx: Tx, outcome: 'commit' | 'rollback') => void) | null;
}

/** A transaction with its stand-in. */
export interface StandInWork<Tx> {
  readonly tx: Tx;
  readonly work: MemoryWork;
  /** Throws, and has done nothing, when the stand-in refuses. */
  readonly commit: () => void;
  readonly rollback: () => void;
}

export function beginStandIn<Tx>(database: MemoryDatabase, standIn: StandIn<Tx>): StandInWork<Tx> {
  const work = database.begin();
  const tx = standIn.transaction();
  if ((typeof tx === 'object' && tx !== null) || typeof tx === 'function') database.name(tx, work);
  return {
    tx,
    work,
    commit() {
      if (!work.open) return;
      standIn.endTransaction?.(tx, 'commit');
      work.commit();
    },
    rollback() {
      if (!work.open) return;
      work.rollback();
      standIn.endTransaction?.(tx, 'rollback');
    },
  };
}

export interface MemoryUnitOfWorkOptions<Stand, Tx> {
  readonly database: MemoryDatabase;
  readonly standIn: StandIn<Stand>;
  readonly crash: CrashPoint;
  /** What the handler is given. */
  readonly present: (tx: Stand, work: MemoryWork) => Tx;
}

export class MemoryUnitOfWork<Stand, Tx> implements UnitOfWork<Tx> {
  readonly schema = 'memory';
  readonly #options: MemoryUnitOfWorkOptions<Stand, Tx>;

  constructor(options: MemoryUnitOfWorkOptions<Stand, Tx>) {
    this.#options = options;
  }

  async run<T>(
    opening: readonly Statement[],
    body: (opened: OpenUnitOfWork<Tx>) => Promise<TransactionEnd<T>>,
    { points }: UnitOfWorkOptions,
  ): Promise<UnitOfWorkResult<T>> {
    const { database, standIn, crash, present } = this.#options;
    let phase: UnitOfWorkPhase = 'opening';
    let begun: StandInWork<Stand> | null = null;
    try {
      crash(`${points}.begin:before`);
      begun = beginStandIn(database, standIn);
      const { work, commit, rollback } = begun;
      const tx = present(begun.tx, work);
      const results: StatementResult[] = [];
      for (const { sql, parameters } of opening) results.push(await work.run(sql, parameters));
      crash(`${points}.begin:after`);
      phase = 'body';
      const { execute } = work;
      const handle = execute as TransactionHandle;
      const asked = await body({ tx, handle, execute, results, sever: async () => rollback() });
      if (asked.end === 'rollback' || !work.open) return { kind: 'ended', value: asked.value };
      phase = 'closing';
      for (const { sql, parameters } of asked.closing ?? []) await work.run(sql, parameters);
      phase = 'commit';
      crash(`${points}.commit:before`);
      commit();
      crash(`${points}.commit:after`);
      return { kind: 'ended', value: asked.value };
    } catch (error) {
      if (error instanceof SimulatedCrash) throw error;
      return { kind: 'failed', phase, error };
    } finally {
      begun?.rollback();
    }
  }

  async transaction<T>(fn: (execute: SqlExecutor) => Promise<T>): Promise<T> {
    const work = this.#options.database.begin();
    try {
      const value = await fn(work.execute);
      work.commit();
      return value;
    } finally {
      work.rollback();
    }
  }
}

/** Says what is missing as soon as somebody asks it for anything. */
export function absentTransaction(what: string, advice: string): object {
  return new Proxy(
    {},
    {
      get(_, name) {
        // A promise that resolves with it asks for `then`.
        if (name === 'then' || typeof name === 'symbol') return undefined;
        throw new HoldfastError('HF_TX_UNSUPPORTED', `${what} used tx.${name}, but the test has no database.`, {
          advice,
        });
      },
    },
  );
}
