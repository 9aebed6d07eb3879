/**
 * Units of work through the user's own client or ORM: `runner: { transaction: (fn) => db.transaction().execute(fn) }`.
 * The handler gets what the runner opens; Holdfast's statements run in it as well.
 */
import { HoldfastError, isHoldfastError, PermanentError } from '../../errors.ts';
import { END_BACKEND } from '../../postgres/backend.ts';
import type { SqlExecutor } from '../../postgres/executor.ts';
import { isPgClient, lend } from '../../postgres/lent-client.ts';
import { executorIn, handleBy, type Runner } from '../../postgres/runner.ts';
import { RunnerConnection } from '../../postgres/runner-connection.ts';
import { classifySqlError } from '../../postgres/sql-state.ts';
import { limitFrozenIn } from '../../postgres/transaction.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import { withTimeout } from '../../runtime/timeout.ts';
import { cutTransaction } from './client-transaction.ts';
import { frozenMsOf } from './transaction-text.ts';
import {
  SimulatedCrash,
  type TransactionEnd,
  type OpenUnitOfWork,
  type Statement,
  type StatementResult,
  type UnitOfWork,
  type UnitOfWorkOptions,
  type UnitOfWorkPhase,
  type UnitOfWorkResult,
} from './unit-of-work.ts';

export interface RunnerUnitOfWorkOptions<Tx> {
  readonly runner: Runner<Tx>;
  readonly schema: string;
  readonly crash: CrashPoint;
}

/**
 * Limits for how long the transaction may stand idle, and says whose session it is. As one text: drivers differ in what they make of
 * numbers. The transaction has an id once it has written.
 */
function sessionSql(frozenMs: number): string {
  const limit = `set_config('idle_in_transaction_session_timeout', '${frozenMs}', true)`;
  return `concat_ws(' ', pg_backend_pid(), ${limit}, pg_current_xact_id_if_assigned())`;
}

/** Shown by each statement of a transaction and by none after it: whether what a runner opens is one. */
const PROBE = 'holdfast.in_transaction';

/** How long another connection of the runner may take to say what became of one, in milliseconds. */
const ELSEWHERE_MS = 5_000;

/** Makes the runner roll back without anything having failed. */
class RollBack extends Error {}

export function createRunnerUnitOfWork<Tx>(options: RunnerUnitOfWorkOptions<Tx>): UnitOfWork<Tx> {
  return new RunnerUnitOfWork(options);
}

class RunnerUnitOfWork<Tx> implements UnitOfWork<Tx> {
  readonly schema: string;
  readonly crash: CrashPoint;
  readonly runner: Runner<Tx>;
  /** Whether it has been seen that the runner opens transactions. */
  #proved = false;

  constructor({ runner, schema, crash }: RunnerUnitOfWorkOptions<Tx>) {
    this.schema = schema;
    this.crash = crash;
    this.runner = runner;
  }

  async run<T>(
    opening: readonly Statement[],
    body: (opened: OpenUnitOfWork<Tx>) => Promise<TransactionEnd<T>>,
    { points, timeoutMs }: UnitOfWorkOptions,
  ): Promise<UnitOfWorkResult<T>> {
    const frozenMs = frozenMsOf(timeoutMs);
    const transaction = new RunnerTransaction<Tx, T>(this, body, points);
    const session = sessionSql(frozenMs);
    try {
      this.crash(`${points}.begin:before`);
      await this.runner.transaction((tx) => transaction.begin(tx, opening, session));
      this.crash(`${points}.commit:after`);
    } catch (error) {
      await transaction.left(error, frozenMs);
      return transaction.resultOf(error);
    }
    return transaction.result();
  }

  transaction<T>(fn: (execute: SqlExecutor) => Promise<T>): Promise<T> {
    return this.runner.transaction(async (tx) => {
      const execute = executorIn(this.runner, tx);
      await limitFrozenIn(execute);
      await this.prove(execute);
      return fn(execute);
    });
  }

  /** The first time only: two statements more, before anything is written. */
  async prove(execute: SqlExecutor): Promise<void> {
    if (this.#proved) return;
    await execute(`SELECT set_config('${PROBE}', 'yes', true) AS probe`, []);
    const [row] = await execute(`SELECT current_setting('${PROBE}', true) AS probe`, []);
    if (row?.['probe'] !== 'yes') throw noTransaction();
    this.#proved = true;
  }

  /** Runs a statement beside a transaction that may be gone. */
  readonly elsewhere: SqlExecutor = (sql, parameters) =>
    inTime(ELSEWHERE_MS, () => this.runner.transaction((tx) => executorIn(this.runner, tx)(sql, parameters)));

  /** Ends the server's process of a transaction that hangs. Never rejects. */
  async endSession(pid: number): Promise<void> {
    try {
      await this.runner.transaction(async (tx) => {
        await executorIn(this.runner, tx)(END_BACKEND, [pid]);
      });
    } catch {
      // Then the connection lives on until its statement ends; the mark it holds keeps others from repeating its effect.
    }
  }
}

/**
 * One transaction of the runner, seen from inside the function that the runner calls. What becomes of it cannot be told from the error
 * that comes out of the runner: runners wrap what they pass on, and a severed connection fails the rollback. So it is kept here.
 */
class RunnerTransaction<Tx, T> {
  readonly #unit: RunnerUnitOfWork<Tx>;
  readonly #body: (opened: OpenUnitOfWork<Tx>) => Promise<TransactionEnd<T>>;
  readonly #points: string;
  #phase: UnitOfWorkPhase = 'opening';
  /** What the body asked for. */
  #asked: TransactionEnd<T> | null = null;
  /** Why what the handler did cannot be committed, or not as a whole. */
  #refusal: Error | null = null;
  #crashed: SimulatedCrash | null = null;
  #severed = false;
  readonly #connection = new RunnerConnection();
  /** The connection broke under the body, and not by our doing. */
  #isCut = false;
  /** It broke in COMMIT. */
  #wasCommitCut = false;
  #opened: Opening | null = null;
  /** Settles with what the runner was given to do. Never rejects. */
  #carriedOut: Promise<unknown> = Promise.resolve();

  constructor(
    unit: RunnerUnitOfWork<Tx>,
    body: (opened: OpenUnitOfWork<Tx>) => Promise<TransactionEnd<T>>,
    points: string,
  ) {
    this.#unit = unit;
    this.#body = body;
    this.#points = points;
  }

  /** What the runner is to commit if it resolves, and to roll back if it rejects. */
  begin(tx: Tx, opening: readonly Statement[], session: string): Promise<void> {
    const carriedOut = this.#carryOut(tx, opening, session).catch((error: unknown) => {
      if (error instanceof SimulatedCrash) this.#crashed = error;
      throw error;
    });
    this.#carriedOut = carriedOut.catch(() => undefined);
    return carriedOut;
  }

  /**
   * Some runners reject as soon as the connection breaks, with the handler still at work: the attempt is not over before it is, or the next
   * one would run beside it. Its time is limited by whoever runs it; a statement of ours may stay without an answer.
   */
  async left(error: unknown, withinMs: number): Promise<void> {
    this.#connection.leave(error);
    await inTime(withinMs, () => this.#carriedOut).catch(() => undefined);
    const isCrash = this.#crashed !== null || error instanceof SimulatedCrash;
    if (this.#phase !== 'commit' || this.#opened === null || isCrash || classifySqlError(error) !== 'other') return;
    // In words of the runner's own: a hook behind COMMIT may have failed, or the connection broke in it.
    this.#wasCommitCut = await this.#connection.isGoneBy(error, this.#opened, this.#unit.elsewhere);
  }

  async #carryOut(tx: Tx, opening: readonly Statement[], session: string): Promise<void> {
    const unit = this.#unit;
    const execute = executorIn(unit.runner, tx);
    await unit.prove(execute);
    const opened = await runOpening(execute, opening, session);
    this.#opened = opened;
    unit.crash(`${this.#points}.begin:after`);
    this.#phase = 'body';
    const { asked, trouble } = await this.#bodyIn(tx, execute, opened);
    this.#asked = asked;
    const noteCut = async (error: unknown): Promise<never> => {
      await this.#isOpen(execute, opened).catch(() => undefined);
      throw error;
    };
    if (asked.end === 'rollback') {
      // Only a failure makes this look, and an aborted transaction, which cannot answer, is still ours.
      if (!this.#severed && !(await this.#isOpen(execute, opened).catch(() => true))) this.#refuse(endedByHandler());
      throw new RollBack();
    }
    // It may have come of a connection that broke.
    if (trouble !== null) await noteCut((this.#refusal = trouble));
    await unit.runner.flush?.(tx).catch(noteCut);
    // Fails when the handler swallowed an error that aborted the transaction: the ORM's COMMIT would not tell.
    if (!(await this.#isOpen(execute, opened))) this.#refuse(endedByHandler());
    this.#phase = asked.closing === undefined ? 'commit' : 'closing';
    unit.crash(`${this.#points}.commit:before`);
    for (const { sql, parameters } of asked.closing ?? []) await execute(sql, parameters).catch(noteCut);
    this.#phase = 'commit';
  }

  async #bodyIn(tx: Tx, execute: SqlExecutor, { results, pid }: Opening): Promise<Ended<T>> {
    const unit = this.#unit;
    const lent = isPgClient(tx) ? lend(tx) : null;
    const own = lent === null ? tx : lent.tx;
    let asked: TransactionEnd<T>;
    try {
      asked = await this.#body({
        tx: own,
        handle: handleBy(unit.runner, own),
        execute,
        results,
        sever: () => {
          this.#severed = true;
          return unit.endSession(pid);
        },
      });
    } finally {
      lent?.takeBack();
    }
    return { asked, trouble: lent?.trouble() ?? null };
  }

  /** Whether this is still the transaction that the runner opened. Rejects in an aborted one, and when the connection is gone, which it notes. */
  async #isOpen(execute: SqlExecutor, { pid, xid }: Opening): Promise<boolean> {
    try {
      const sql = 'SELECT pg_current_xact_id_if_assigned()::text AS xid';
      const [row] = await this.#connection.ask(execute, sql);
      return xid === undefined || row?.['xid'] === xid;
    } catch (error) {
      this.#isCut = await this.#connection.isGoneBy(error, { pid, xid }, this.#unit.elsewhere);
      throw error;
    }
  }

  /** After the runner resolved. */
  result(): UnitOfWorkResult<T> {
    if (this.#asked === null) throw new TypeError('The runner resolved without running its function.');
    return { kind: 'ended', value: this.#asked.value };
  }

  /** After the runner rejected. Throws only for a simulated crash. */
  resultOf(error: unknown): UnitOfWorkResult<T> {
    if (this.#crashed !== null) throw this.#crashed;
    if (error instanceof SimulatedCrash) throw error;
    const phase = this.#phase;
    if (this.#isCut && this.#asked?.end === 'commit') return { kind: 'failed', phase: 'cut', error: cutTransaction() };
    if (this.#refusal !== null) return { kind: 'failed', phase: 'body', error: this.#refusal };
    if (this.#asked === null) return { kind: 'failed', phase, error };
    if (this.#asked.end === 'rollback') return { kind: 'ended', value: this.#asked.value, cut: this.#isCut };
    if (this.#wasCommitCut) return { kind: 'failed', phase, error: lostCommit(error) };
    return { kind: 'failed', phase, error: phase === 'body' ? explain(error) : error };
  }

  #refuse(error: Error): never {
    this.#refusal = error;
    throw error;
  }
}

/** What the body asked for, and why what it has left behind cannot be committed. */
interface Ended<T> {
  readonly asked: TransactionEnd<T>;
  readonly trouble: Error | null;
}

interface Opening {
  readonly results: readonly StatementResult[];
  /** Of the server's process. */
  readonly pid: number;
  /** undefined: the transaction has not written yet. */
  readonly xid: string | undefined;
}

/** Runs the first statements, and asks whose session it is: once the handler hangs in a statement, nothing more can be asked. */
async function runOpening(execute: SqlExecutor, opening: readonly Statement[], sessionOf: string): Promise<Opening> {
  const results: StatementResult[] = [];
  let session: unknown;
  for (const { sql, parameters, counted } of opening) {
    const rows = await execute(counted === true ? `${sql} RETURNING ${sessionOf} AS session` : sql, parameters);
    session = rows[0]?.['session'] ?? session;
    results.push({ rows: counted === true ? [] : rows, count: rows.length });
  }
  session ??= (await execute(`SELECT ${sessionOf} AS session`, []))[0]?.['session'];
  const [pid, , xid] = String(session).split(' ') as [string, string, string | undefined];
  return { results, pid: Number(pid), xid };
}

/** Rejects when it takes longer. */
function inTime<T>(timeoutMs: number, fn: () => Promise<T>): Promise<T> {
  const onTimeout = (): Error =>
    new HoldfastError('HF_DATABASE_UNAVAILABLE', `The runner gave no answer within ${timeoutMs} ms.`);
  return withTimeout(fn, { timeoutMs, onTimeout });
}

/** Of the last look before COMMIT. */
function explain(cause: unknown): Error {
  if (isHoldfastError(cause, 'HF_NOT_IN_TRANSACTION')) return endedByHandler(cause);
  return new HoldfastError(
    'HF_TRANSACTION_ABORTED',
    'The handler resolved, but a statement in its transaction had failed, so nothing could be committed.',
    {
      cause,
      advice: 'Let the error out of the handler, or put the statement into a savepoint.',
    },
  );
}

function lostCommit(cause: unknown): HoldfastError {
  return new HoldfastError('HF_DATABASE_UNAVAILABLE', 'The connection broke during COMMIT, which may have happened.', {
    cause,
    advice: 'The next attempt finds out, by the mark of the message.',
  });
}

function endedByHandler(cause?: unknown): PermanentError {
  return new PermanentError('The handler ended the transaction that Holdfast had opened for it.', {
    ...(cause === undefined ? {} : { cause }),
    advice: 'Leave committing and rolling back to Holdfast. What it wrote before is committed, with the mark.',
    details: { transactionEnded: true },
  });
}

function noTransaction(): HoldfastError {
  return new HoldfastError(
    'HF_CONFIG',
    'The runner opened no transaction: what one statement set for the transaction was gone in the next one.',
    {
      advice:
        'Give transaction: (fn) => db.transaction(fn), or what your client calls it, and hand what it opens on to fn.',
    },
  );
}
