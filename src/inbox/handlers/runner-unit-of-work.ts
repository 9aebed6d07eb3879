/**
 * Units of work through the user's own client or ORM: `runner: { transaction: (fn) => db.transaction().execute(fn) }`.
 * The handler gets what the runner opens; Holdfast's statements run in it as well.
 */
import { HoldfastError, isHoldfastError, PermanentError } from '../../errors.ts';
import { END_BACKEND } from '../../postgres/backend.ts';
import type { SqlExecutor } from '../../postgres/executor.ts';
import { isPgClient, lend } from '../../postgres/lent-client.ts';
import { executorIn, handleBy, type Runner } from '../../postgres/runner.ts';
import { limitFrozenIn } from '../../postgres/transaction.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
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
    const transaction = new RunnerTransaction<Tx, T>(this, body, points);
    const session = sessionSql(frozenMsOf(timeoutMs));
    try {
      this.crash(`${points}.begin:before`);
      await this.runner.transaction((tx) => transaction.carryOut(tx, opening, session));
      this.crash(`${points}.commit:after`);
    } catch (error) {
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
  async carryOut(tx: Tx, opening: readonly Statement[], session: string): Promise<void> {
    const unit = this.#unit;
    try {
      const execute = executorIn(unit.runner, tx);
      await unit.prove(execute);
      const { results, pid, xid } = await runOpening(execute, opening, session);
      unit.crash(`${this.#points}.begin:after`);
      this.#phase = 'body';
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
      this.#asked = asked;
      if (asked.end === 'rollback') {
        // Only a failure makes this look, and an aborted transaction, which cannot answer, is still ours.
        if (!this.#severed && !(await isStillOpen(execute, xid).catch(() => true))) this.#refuse(endedByHandler());
        throw new RollBack();
      }
      const trouble = lent?.trouble() ?? null;
      if (trouble !== null) this.#refuse(trouble);
      await unit.runner.flush?.(tx);
      // Fails when the handler swallowed an error that aborted the transaction: the ORM's COMMIT would not tell.
      if (!(await isStillOpen(execute, xid))) this.#refuse(endedByHandler());
      this.#phase = asked.closing === undefined ? 'commit' : 'closing';
      unit.crash(`${this.#points}.commit:before`);
      for (const { sql, parameters } of asked.closing ?? []) await execute(sql, parameters);
      this.#phase = 'commit';
    } catch (error) {
      if (error instanceof SimulatedCrash) this.#crashed = error;
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
    if (this.#refusal !== null) return { kind: 'failed', phase: 'body', error: this.#refusal };
    if (this.#asked === null) return { kind: 'failed', phase, error };
    if (this.#asked.end === 'rollback') return { kind: 'ended', value: this.#asked.value };
    return { kind: 'failed', phase, error: phase === 'body' ? explain(error) : error };
  }

  #refuse(error: Error): never {
    this.#refusal = error;
    throw error;
  }
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

/** Whether this is still the transaction that the runner opened. Rejects in an aborted one. */
async function isStillOpen(execute: SqlExecutor, xid: string | undefined): Promise<boolean> {
  const [row] = await execute('SELECT pg_current_xact_id_if_assigned()::text AS xid', []);
  return xid === undefined || row?.['xid'] === xid;
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
