/**
 * Units of work through the user's own client or ORM: `runner: { transaction: (fn) => db.transaction().execute(fn) }`.
 * The handler gets what the runner opens; Holdfast's statements run in it through toExecutor.
 */
import { HoldfastError, isHoldfastError, PermanentError } from '../../errors.ts';
import { END_BACKEND } from '../../postgres/backend.ts';
import { toExecutor, type Row, type SqlExecutor, type TransactionHandle } from '../../postgres/executor.ts';
import { isPgClient, lend } from '../../postgres/lent-client.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import {
  SimulatedCrash,
  type TransactionEnd,
  type OpenTransaction,
  type Statement,
  type StatementResult,
  type UnitOfWork,
  type UnitOfWorkOptions,
  type UnitOfWorkResult,
} from './unit-of-work.ts';

export interface Runner<Tx> {
  /** Opens a transaction, commits it when `fn` resolves and rolls it back when `fn` rejects. Must not retry `fn`. */
  transaction<T>(fn: (tx: Tx) => Promise<T>): Promise<T>;
  /** How to run a statement in `tx`. Not needed for node-postgres clients and Kysely. */
  execute?(tx: Tx, sql: string, parameters: readonly unknown[]): Promise<readonly Row[]>;
}

export interface RunnerUnitOfWorkOptions<Tx> {
  readonly runner: Runner<Tx>;
  readonly schema: string;
  readonly crash: CrashPoint;
}

/** As one text: drivers differ in what they make of numbers. The transaction has an id once it has written. */
const SESSION = "concat_ws(' ', pg_backend_pid(), pg_current_xact_id_if_assigned())";

/** Shown by each statement of a transaction and by none after it: whether what a runner opens is one. */
const PROBE = 'holdfast.in_transaction';

/** Makes the runner roll back without anything having failed. */
class RollBack extends Error {}

export function createRunnerUnitOfWork<Tx>({ runner, schema, crash }: RunnerUnitOfWorkOptions<Tx>): UnitOfWork<Tx> {
  const executorOf = (tx: Tx): SqlExecutor =>
    runner.execute === undefined
      ? toExecutor(tx as TransactionHandle)
      : (sql, parameters) => (runner.execute as NonNullable<Runner<Tx>['execute']>)(tx, sql, parameters);

  /** Until it has been seen once that the runner opens transactions: two statements more, before anything is written. */
  let proved = false;
  async function prove(execute: SqlExecutor): Promise<void> {
    if (proved) return;
    await execute(`SELECT set_config('${PROBE}', 'yes', true) AS probe`, []);
    const [row] = await execute(`SELECT current_setting('${PROBE}', true) AS probe`, []);
    if (row?.['probe'] !== 'yes') throw noTransaction();
    proved = true;
  }

  async function endSession(pid: number): Promise<void> {
    try {
      await runner.transaction(async (tx) => {
        await executorOf(tx)(END_BACKEND, [pid]);
      });
    } catch {
      // Then the connection lives on until its statement ends; the mark it holds keeps others from repeating its effect.
    }
  }

  return {
    schema,

    async run<T>(
      opening: readonly Statement[],
      body: (opened: OpenTransaction<Tx>) => Promise<TransactionEnd<T>>,
      { points }: UnitOfWorkOptions,
    ): Promise<UnitOfWorkResult<T>> {
      // Properties, because the compiler does not see what the callback does to variables.
      const state: {
        phase: 'opening' | 'body' | 'commit';
        ending: TransactionEnd<T> | null;
        crashed: SimulatedCrash | null;
        /** Why what the handler did cannot be committed, or not as a whole. */
        ended: Error | null;
      } = { phase: 'opening', ending: null, crashed: null, ended: null };
      try {
        crash(`${points}.begin:before`);
        await runner.transaction(async (tx) => {
          try {
            const execute = executorOf(tx);
            await prove(execute);
            const results: StatementResult[] = [];
            let returnedSession: unknown;
            for (const { sql, parameters, counted } of opening) {
              const rows = await execute(counted === true ? `${sql} RETURNING ${SESSION} AS session` : sql, parameters);
              returnedSession = rows[0]?.['session'] ?? returnedSession;
              results.push({ rows: counted === true ? [] : rows, count: rows.length });
            }
            // Asked for beforehand: once the handler hangs in a statement, nothing more can be asked on its connection.
            const session = returnedSession ?? (await execute(`SELECT ${SESSION} AS session`, []))[0]?.['session'];
            const [pid, xid] = String(session).split(' ') as [string, string | undefined];
            crash(`${points}.begin:after`);
            state.phase = 'body';
            const lent = isPgClient(tx) ? lend(tx) : null;
            const own = lent === null ? tx : lent.tx;
            const handle = runner.execute === undefined ? (own as TransactionHandle) : executorOf(own);
            const sever = (): Promise<void> => {
              severed = true;
              return endSession(Number(pid));
            };
            let severed = false;
            state.ending = await body({ tx: own, handle, execute, results, sever }).finally(() => lent?.takeBack());
            // Fails when the handler swallowed an error that aborted the transaction: the ORM's COMMIT would not tell.
            const look = async (): Promise<boolean> => {
              const [row] = await execute('SELECT pg_current_xact_id_if_assigned()::text AS xid', []);
              return xid === undefined || row?.['xid'] === xid;
            };
            if (state.ending.end === 'rollback') {
              // Only a failure makes this look, and an aborted transaction, which cannot answer, is still ours.
              if (!severed && !(await look().catch(() => true))) throw (state.ended = endedByHandler());
              throw new RollBack();
            }
            const trouble = lent?.trouble() ?? null;
            if (trouble !== null) throw (state.ended = trouble);
            if (!(await look())) throw (state.ended = endedByHandler());
            state.phase = 'commit';
            crash(`${points}.commit:before`);
          } catch (error) {
            if (error instanceof SimulatedCrash) state.crashed = error;
            throw error;
          }
        });
        crash(`${points}.commit:after`);
      } catch (error) {
        if (state.crashed !== null) throw state.crashed;
        if (error instanceof SimulatedCrash) throw error;
        // Not told by the error: runners wrap what they pass on, and a severed connection fails the rollback.
        if (state.ended !== null) return { kind: 'failed', phase: 'body', error: state.ended };
        if (state.ending === null) return { kind: 'failed', phase: state.phase, error };
        if (state.ending.end === 'rollback') return { kind: 'ended', value: state.ending.value };
        return { kind: 'failed', phase: state.phase, error: state.phase === 'body' ? explain(error) : error };
      }
      if (state.ending === null) throw new TypeError('The runner resolved without running its function.');
      return { kind: 'ended', value: state.ending.value };
    },

    transaction: (fn) =>
      runner.transaction(async (tx) => {
        const execute = executorOf(tx);
        await prove(execute);
        return fn(execute);
      }),
  };
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
