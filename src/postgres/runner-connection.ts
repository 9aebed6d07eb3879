/**
 * Whether a transaction that a runner has opened still has its connection. What comes out of a runner does not say so: it wraps the errors
 * of its driver, answers for itself once it knows of no connection any more, or leaves with its function still at work. So a statement
 * of ours is asked, in the same transaction; and where the runner answers it instead of the server, the server by another connection.
 */
import type { Row, SqlExecutor } from './executor.ts';
import { classifySqlError } from './sql-state.ts';

/** A transaction as the server knows it. */
export interface ServerTransaction {
  /** Of the server's process. */
  readonly pid: number;
  /** Its number; undefined: it had none when it was opened. */
  readonly xid: string | undefined;
}

/** As texts: drivers differ in what they make of anything else. */
const SESSION = `SELECT backend_xid::text AS xid, CASE WHEN xact_start IS NULL THEN 'no' ELSE 'yes' END AS open
  FROM pg_stat_activity WHERE pid = $1::text::integer`;

export class RunnerConnection {
  /** Rejects with the runner. */
  readonly #left: Promise<never>;
  #reject: (error: unknown) => void = () => {};
  #hasLeft = false;

  constructor() {
    this.#left = new Promise((_resolve, reject) => {
      this.#reject = reject;
    });
    this.#left.catch(() => undefined);
  }

  /** The runner has rejected, though its function may still be at work. */
  leave(error: unknown): void {
    this.#hasLeft = true;
    this.#reject(error);
  }

  /**
   * A statement of ours behind the handler's. A runner that has lost its connection leaves, in the same turn as the handler is told. What
   * it is given to send after that it may never answer; postgres.js even throws where nobody can catch it.
   */
  async ask(execute: SqlExecutor, sql: string, parameters: readonly unknown[] = []): Promise<readonly Row[]> {
    await new Promise((resolve) => setImmediate(resolve));
    return this.#hasLeft ? this.#left : Promise.race([execute(sql, parameters), this.#left]);
  }

  /**
   * Whether the connection is gone, by what `ask` has rejected with. `elsewhere`: runs a statement by another connection; where that cannot
   * be done, it is taken for gone as well.
   */
  async isGoneBy(error: unknown, { pid, xid }: ServerTransaction, elsewhere: SqlExecutor): Promise<boolean> {
    const kind = classifySqlError(error);
    if (kind !== 'other') return kind === 'connection';
    // The handler may have ended the transaction by the runner, or the runner knows of no connection any more.
    try {
      const [row] = await elsewhere(SESSION, [String(pid)]);
      return row === undefined || (xid === undefined ? row['open'] === 'yes' : row['xid'] === xid);
    } catch {
      return true;
    }
  }
}
