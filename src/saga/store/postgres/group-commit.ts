/**
 * One commit for many runs, on a connection of its own: a single statement, which is a whole transaction.
 *
 * When no answer comes, nobody knows whether the group was committed, and its old backend may even still be about to run it. Making it
 * again is safe whatever became of the first: both write the same primary keys of the journal, so one of the two fails as a whole. Which
 * one it was is read from the journal. Only when the second is refused for the lease must more be known: see `#happenedFinally`.
 */
import type pg from 'pg';
import { hintCommit } from '../../../postgres/commit-hints.ts';
import type { Database } from '../../../postgres/database.ts';
import { quoteIdentifier } from '../../../postgres/quoting.ts';
import { classifySqlError, passesByItself, sqlStateOf, translateSqlError } from '../../../postgres/sql-state.ts';
import type { CrashPoint } from '../../../runtime/crash-point.ts';
import { explainRefusal, GroupCommitError, leaseLost, RevokedError } from '../commit-error.ts';
import { CommitConnection } from './commit-connection.ts';
import { untilAnswered, type ReconnectOptions } from './reconnect.ts';
import { commitParameters } from './saga-rows.ts';
import type { RunCommit } from '../store.ts';

export interface GroupCommitOptions extends ReconnectOptions {
  readonly database: Database;
  readonly crashPoint: CrashPoint;
  /** How long an answer is waited for, in milliseconds. */
  readonly queryTimeoutMs: number;
}

/** The statement, for whoever ends a transaction with it. `unchecked`: without counting the updated rows. */
export function commitStatement(
  schema: string,
  workerId: string,
  runs: readonly RunCommit[],
  unchecked = false,
): pg.QueryConfig {
  return {
    name: 'holdfast-commit-runs',
    text: `SELECT ${quoteIdentifier(schema)}.commit_runs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
    values: [workerId, ...commitParameters(runs, unchecked)],
  };
}

/** Makes one commit after the other. Connects at the first. */
export class GroupCommitter {
  readonly #options: GroupCommitOptions;
  readonly #connection: CommitConnection;
  readonly #s: string;
  #last: Promise<unknown> = Promise.resolve();
  #pending = 0;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
    this.#connection = new CommitConnection(options);
    this.#s = quoteIdentifier(options.database.schema);
  }

  /** Commits under way, or waiting for their turn. */
  get pending(): number {
    return this.#pending;
  }

  commit(workerId: string, runs: readonly RunCommit[]): Promise<void> {
    if (runs.length === 0) return Promise.resolve();
    this.#pending += 1;
    const mine = this.#last.then(() => this.#commitAll(workerId, runs)).finally(() => (this.#pending -= 1));
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#connection.close();
  }

  async #commitAll(workerId: string, runs: readonly RunCommit[]): Promise<void> {
    const failures = new Map<string, Error>();
    await this.#commitApart(workerId, runs, failures);
    if (runs.some(({ messages }) => messages.length > 0)) hintCommit(this.#options.database);
    if (failures.size > 0) throw new GroupCommitError(failures);
  }

  /** All at once; when the data of one is refused, in halves, so that it does not keep the others from going on. */
  async #commitApart(workerId: string, runs: readonly RunCommit[], failures: Map<string, Error>): Promise<void> {
    try {
      await this.#commitGroup(workerId, runs);
    } catch (error) {
      if (!isRefusal(error)) throw asStoreError(error);
      const revoked = revokedBy(error);
      if (revoked.size > 0) {
        for (const id of revoked) failures.set(id, new RevokedError());
        const rest = runs.filter(({ runId }) => !revoked.has(runId));
        if (rest.length > 0 && rest.length < runs.length) return this.#commitApart(workerId, rest, failures);
        if (rest.length === 0) return;
      }
      const [only] = runs;
      if (only !== undefined && runs.length === 1) {
        failures.set(only.runId, explainRefusal(error));
        return;
      }
      if (failures.size === 0)
        this.#options.log.warn({ err: error, runs: runs.length }, 'a commit was refused; committing its runs in parts');
      const half = runs.length >> 1;
      await this.#commitApart(workerId, runs.slice(0, half), failures);
      await this.#commitApart(workerId, runs.slice(half), failures);
    }
  }

  async #commitGroup(workerId: string, runs: readonly RunCommit[]): Promise<void> {
    const { crashPoint, database } = this.#options;
    let inDoubt = false;
    await untilAnswered('a commit of runs', this.#options, async () => {
      if (inDoubt && (await this.#happened(runs))) return;
      try {
        crashPoint('saga.commit:before');
        // What was done already is not held any more, which a second time is no error.
        await this.#connection.query(commitStatement(database.schema, workerId, runs, inDoubt));
        crashPoint('saga.commit:after');
      } catch (error) {
        if (!passesByItself(error) && inDoubt) {
          const leaseIsOver = sqlStateOf(error) === 'HF001';
          if (await (leaseIsOver ? this.#happenedFinally(workerId, runs) : this.#happened(runs))) return;
        }
        // The server's own word is a rollback for certain; only silence leaves it open.
        if (classifySqlError(error) === 'connection') inDoubt = true;
        throw error;
      }
    });
  }

  /** Whether the rows of the journal stand there, all of them and as they are given: a row may be there that another commit wrote. */
  async #happened(runs: readonly RunCommit[]): Promise<boolean> {
    const rows = runs.flatMap(({ runId, journal }) => (journal === null ? [] : [{ runId, journal }]));
    if (rows.length === 0) return false;
    const { rows: found } = await this.#connection.query({
      text: `SELECT count(*)::int AS n FROM unnest($1::uuid[], $2::int[], $3::text[]) AS u (id, n, events)
        CROSS JOIN LATERAL (SELECT 1 FROM ${this.#s}.saga_journal j
          WHERE j.saga_id = u.id AND j.n = u.n AND j.events::text = u.events OFFSET 0) AS there`,
      values: [
        rows.map(({ runId }) => runId),
        rows.map(({ journal }) => journal.n),
        rows.map(({ journal }) => journal.events),
      ],
    });
    return (found as readonly { readonly n: number }[])[0]?.n === rows.length;
  }

  /**
   * The lease is over, so nothing can pass the fence any more; what passed it before holds the worker's row FOR KEY SHARE until it
   * ends, and is waited for here. If the row is gone, whoever deleted it has waited.
   */
  async #happenedFinally(workerId: string, runs: readonly RunCommit[]): Promise<boolean> {
    await this.#connection.query({
      text: `SELECT 1 FROM ${this.#s}.worker WHERE id = $1 FOR UPDATE`,
      values: [workerId],
    });
    return this.#happened(runs);
  }
}

/** The server objects to what it was given, rather than to the worker, the role or the tables. */
function isRefusal(error: unknown): boolean {
  const state = sqlStateOf(error);
  return classifySqlError(error) === 'data' || (state !== 'HF001' && state?.startsWith('HF') === true);
}

/** The runs that are to be compensated, and were about to go on. */
function revokedBy(error: unknown): ReadonlySet<string> {
  const detail = error instanceof Error && 'detail' in error ? error.detail : undefined;
  return new Set(sqlStateOf(error) === 'HF004' && typeof detail === 'string' ? detail.split(',') : []);
}

function asStoreError(error: unknown): Error {
  return sqlStateOf(error) === 'HF001' ? leaseLost(error) : translateSqlError(error);
}
