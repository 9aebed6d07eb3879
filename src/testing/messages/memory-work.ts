/**
 * Transactions in memory: what one does has its effect with its commit, and nobody else comes near what it has locked until it ends.
 * Statements are names with parameters here, carried out by whoever has registered the name.
 */
import { HoldfastError } from '../../errors.ts';
import type { StatementResult } from '../../inbox/handlers/unit-of-work.ts';
import type { Row, SqlExecutor } from '../../postgres/executor.ts';
import { PATIENT_LOCK_SQL } from '../../postgres/lock-wait.ts';

/** Carries out a statement. What it writes it leaves to `onCommit`. */
export type Operation = (
  work: MemoryWork,
  parameters: readonly unknown[],
) => StatementResult | Promise<StatementResult>;

export class MemoryDatabase {
  readonly now: () => number;
  readonly #operations = new Map<string, Operation>();
  /** Who holds each lock. */
  readonly #held = new Map<string, MemoryWork>();
  readonly #works = new WeakMap<object, MemoryWork>();
  /** Of which nobody can say which transaction they stand for. */
  readonly #shared = new WeakSet<object>();

  /** @param now milliseconds since the epoch */
  constructor(now: () => number) {
    this.now = now;
    this.register(PATIENT_LOCK_SQL, async (work, [lock]) => {
      await work.lock(keyName(lock));
      return { count: 1, rows: [{ locked: 'true' }] };
    });
  }

  register(statement: string, operation: Operation): void {
    this.#operations.set(statement, operation);
  }

  begin(): MemoryWork {
    const work = new MemoryWork(this.#held, (statement, parameters) => this.#run(work, statement, parameters));
    this.#works.set(work.execute, work);
    return work;
  }

  /** Has `handle` stand for the transaction, wherever one is asked for. */
  name(handle: object, work: MemoryWork): void {
    const other = this.#works.get(handle);
    this.#works.set(handle, work);
    if (other?.open === true) this.#shared.add(handle);
    else this.#shared.delete(handle);
  }

  /** @throws HoldfastError HF_NOT_IN_TRANSACTION for what stands for none that is open */
  workOf(handle: unknown): MemoryWork {
    const isObject = (typeof handle === 'object' && handle !== null) || typeof handle === 'function';
    const work = isObject ? this.#works.get(handle) : undefined;
    if (isObject && this.#shared.has(handle))
      throw new HoldfastError(
        'HF_NOT_IN_TRANSACTION',
        'The handle stands for several transactions that were open at once.',
        {
          advice: 'Make one for each in `transaction: () => …`.',
        },
      );
    if (work?.open === true) return work;
    throw new HoldfastError(
      'HF_NOT_IN_TRANSACTION',
      work === undefined
        ? 'The handle belongs to no transaction of this test.'
        : 'The transaction of this handle has ended.',
      { advice: 'Pass the tx that test.transaction(…) or the handler is given, before it ends.' },
    );
  }

  async #run(work: MemoryWork, statement: string, parameters: readonly unknown[]): Promise<StatementResult> {
    const operation = this.#operations.get(statement);
    if (operation !== undefined) return operation(work, parameters);
    throw new HoldfastError('HF_TX_UNSUPPORTED', `SQL was sent in a test without a database: ${statement}`, {
      advice: 'Give testMessages a database, or `transaction: () => …` with a stand-in for it.',
    });
  }
}

/** One transaction. */
export class MemoryWork {
  /** The transaction as the outbox takes it. */
  readonly execute: SqlExecutor;
  readonly run: (statement: string, parameters: readonly unknown[]) => Promise<StatementResult>;
  readonly #held: Map<string, MemoryWork>;
  readonly #effects: (() => void)[] = [];
  readonly #regrets: (() => void)[] = [];
  readonly #ended: Promise<void>;
  #end: () => void = () => {};
  #open = true;

  constructor(
    held: Map<string, MemoryWork>,
    run: (statement: string, parameters: readonly unknown[]) => Promise<StatementResult>,
  ) {
    this.#held = held;
    this.run = async (statement, parameters) => {
      if (!this.#open) throw new HoldfastError('HF_NOT_IN_TRANSACTION', 'The transaction has ended.');
      return run(statement, parameters);
    };
    this.execute = async (statement, parameters): Promise<readonly Row[]> =>
      (await this.run(statement, parameters)).rows;
    this.#ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  get open(): boolean {
    return this.#open;
  }

  onCommit(effect: () => void): void {
    this.#effects.push(effect);
  }

  onRollback(regret: () => void): void {
    this.#regrets.push(regret);
  }

  /** Waits for whoever holds it. */
  async lock(name: string): Promise<void> {
    for (let holder = this.#held.get(name); holder !== undefined && holder !== this; holder = this.#held.get(name))
      await holder.#ended;
    // A transaction that was rolled back meanwhile would hold it for ever.
    if (!this.#open) throw new HoldfastError('HF_NOT_IN_TRANSACTION', 'The transaction has ended.');
    this.#held.set(name, this);
  }

  tryLock(name: string): boolean {
    const holder = this.#held.get(name);
    if (holder !== undefined && holder !== this) return false;
    this.#held.set(name, this);
    return true;
  }

  /** All effects, in the order in which they were asked for. Does nothing when it has ended. */
  commit(): void {
    if (!this.#open) return;
    for (const effect of this.#effects) effect();
    this.#close();
  }

  /** Does nothing when it has ended. */
  rollback(): void {
    if (!this.#open) return;
    for (const regret of this.#regrets) regret();
    this.#close();
  }

  #close(): void {
    this.#open = false;
    for (const [name, holder] of this.#held) if (holder === this) this.#held.delete(name);
    this.#end();
  }
}

/** How the lock of a key is called here. */
export function keyName(lock: unknown): string {
  return `key ${String(lock)}`;
}

/** What a statement that counts says. */
export function counted(count: number): StatementResult {
  return { count, rows: Array.from({ length: count }, () => ({ written: 1 })) };
}
