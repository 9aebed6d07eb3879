/**
 * Units of work through the user's own client or ORM: `runner: { transaction: (fn) => db.transaction().execute(fn) }`.
 * The handler gets what the runner opens; Holdfast's statements run in it through toExecutor.
 */
import { HoldfastError, PermanentError } from '../errors.ts';
import { toExecutor, type Row, type SqlExecutor, type TransactionHandle } from '../postgres/executor.ts';
import type { CrashPoint } from '../runtime/crash-point.ts';
import {
  SimulatedCrash,
  type Ending,
  type Opened,
  type Statement,
  type StatementResult,
  type Work,
  type WorkOptions,
  type WorkResult,
} from './work.ts';

export interface Runner<Tx> {
  /** Opens a transaction, commits it when `fn` resolves and rolls it back when `fn` rejects. Must not retry `fn`. */
  transaction<T>(fn: (tx: Tx) => Promise<T>): Promise<T>;
  /** How to run a statement in `tx`. Not needed for node-postgres clients and Kysely. */
  execute?(tx: Tx, sql: string, parameters: readonly unknown[]): Promise<readonly Row[]>;
}

export interface RunnerWorkOptions<Tx> {
  readonly runner: Runner<Tx>;
  readonly schema: string;
  readonly crash: CrashPoint;
}

/** Makes the runner roll back without anything having failed. */
class RollBack extends Error {}

export function createRunnerWork<Tx>({ runner, schema, crash }: RunnerWorkOptions<Tx>): Work<Tx> {
  const executorOf = (tx: Tx): SqlExecutor =>
    runner.execute === undefined
      ? toExecutor(tx as TransactionHandle)
      : (sql, parameters) => (runner.execute as NonNullable<Runner<Tx>['execute']>)(tx, sql, parameters);

  async function endBackend(pid: number): Promise<void> {
    try {
      await runner.transaction(async (tx) => {
        await executorOf(tx)(
          'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND usename = current_user AND datname = current_database()',
          [pid],
        );
      });
    } catch {
      // Then the connection lives on until its statement ends; the mark it holds keeps others from repeating its effect.
    }
  }

  return {
    schema,

    async run<T>(
      opening: readonly Statement[],
      body: (opened: Opened<Tx>) => Promise<Ending<T>>,
      { points }: WorkOptions,
    ): Promise<WorkResult<T>> {
      // Properties, because the compiler does not see what the callback does to variables.
      const state: { phase: 'opening' | 'body' | 'commit'; ending: Ending<T> | null; crashed: SimulatedCrash | null } =
        {
          phase: 'opening',
          ending: null,
          crashed: null,
        };
      try {
        crash(`${points}.begin:before`);
        await runner.transaction(async (tx) => {
          try {
            const execute = executorOf(tx);
            const results: StatementResult[] = [];
            let returnedPid: unknown;
            for (const { sql, parameters, counted } of opening) {
              const rows = await execute(
                counted === true ? `${sql} RETURNING pg_backend_pid() AS pid` : sql,
                parameters,
              );
              returnedPid = rows[0]?.['pid'] ?? returnedPid;
              results.push({ rows: counted === true ? [] : rows, count: rows.length });
            }
            // Asked for beforehand: once the handler hangs in a statement, nothing more can be asked on its connection.
            const pid = Number(returnedPid ?? (await execute('SELECT pg_backend_pid() AS pid', []))[0]?.['pid']);
            crash(`${points}.begin:after`);
            state.phase = 'body';
            const handle = runner.execute === undefined ? (tx as TransactionHandle) : execute;
            state.ending = await body({ tx, handle, execute, results, sever: () => endBackend(pid) });
            if (state.ending.end === 'rollback') throw new RollBack();
            // Fails when the handler swallowed an error that aborted the transaction: the ORM's COMMIT would not tell.
            await execute('SELECT 1 AS alive', []);
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
        if (state.ending === null) return { kind: 'failed', phase: state.phase, error };
        if (state.ending.end === 'rollback') return { kind: 'ended', value: state.ending.value };
        return { kind: 'failed', phase: state.phase, error: state.phase === 'body' ? explain(error) : error };
      }
      if (state.ending === null) throw new TypeError('The runner resolved without running its function.');
      return { kind: 'ended', value: state.ending.value };
    },

    transaction: (fn) => runner.transaction((tx) => fn(executorOf(tx))),
  };
}

/** Of the last look before COMMIT. */
function explain(cause: unknown): Error {
  if (cause instanceof HoldfastError && cause.code === 'HF_NOT_IN_TRANSACTION') {
    return new PermanentError('The handler ended the transaction that Holdfast had opened for it.', {
      cause,
      advice: 'Leave committing and rolling back to Holdfast.',
    });
  }
  return new HoldfastError(
    'HF_TRANSACTION_ABORTED',
    'The handler resolved, but a statement in its transaction had failed, so nothing could be committed.',
    {
      cause,
      advice: 'Let the error out of the handler, or put the statement into a savepoint.',
    },
  );
}
