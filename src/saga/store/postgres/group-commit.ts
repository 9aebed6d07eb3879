/**
 * One commit for many runs, on a connection of its own: a single statement, which is a whole transaction.
 *
 * When no answer comes, nobody knows whether the group was committed, and its old backend may even still be about to run it. Making it
 * again is safe whatever became of the first: both write the same primary keys of the journal, so one of the two fails as a whole. Which
 * one it was is read from the journal. Only when the second is refused for the lease must more be known: see `happenedFinally`.
 */
import type pg from 'pg';
import type { Database } from '../../../postgres/database.ts';
import { quoteIdentifier } from '../../../postgres/quoting.ts';
import {
  classifySqlError,
  passesByItself,
  sqlStateOf,
  translateSqlError,
  type SqlErrorKind,
} from '../../../postgres/sql-state.ts';
import type { CrashPoint } from '../../../runtime/crash-point.ts';
import { explainRefusal, GroupCommitError, leaseLost, RevokedError } from '../commit-error.ts';
import { untilAnswered, type Patience } from './reconnect.ts';
import { commitParameters } from './saga-rows.ts';
import type { RunCommit } from '../store.ts';

export interface GroupCommitter {
  commit(workerId: string, runs: readonly RunCommit[]): Promise<void>;
  /** Commits under way, or waiting for their turn. */
  readonly pending: number;
  close(): Promise<void>;
}

export interface GroupCommitOptions extends Patience {
  readonly database: Database;
  readonly crashPoint: CrashPoint;
  /** How long an answer is waited for, in milliseconds. */
  readonly queryTimeoutMs: number;
}

/** Another connection may do better: this one is lost, not what it was, or leads to a standby. */
const OF_THE_CONNECTION: ReadonlySet<SqlErrorKind> = new Set(['connection', 'session', 'read-only']);

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

/** Connects at the first commit. */
export function createGroupCommitter(options: GroupCommitOptions): GroupCommitter {
  const { database, crashPoint, queryTimeoutMs, log, closed } = options;
  const s = quoteIdentifier(database.schema);
  let client: pg.Client | undefined;
  let last: Promise<unknown> = Promise.resolve();
  let pending = 0;

  async function connected(): Promise<pg.Client> {
    if (client !== undefined) return client;
    closed.throwIfAborted();
    const next = await database.dedicatedConnection({
      queryTimeoutMs,
      onLost: (error) => {
        if (client !== next) return;
        client = undefined;
        log.warn({ err: error }, 'the connection for commits was lost');
      },
    });
    if (closed.aborted) {
      await next.end().catch(() => undefined);
      closed.throwIfAborted();
    }
    client = next;
    return next;
  }

  /** A connection that owes an answer is of no further use: the answer would be taken for that of the next statement. */
  function drop(): void {
    const old = client;
    client = undefined;
    void old?.end().catch(() => undefined);
  }

  async function query(config: pg.QueryConfig): Promise<pg.QueryResult> {
    const on = await connected();
    try {
      return await on.query(config);
    } catch (error) {
      if (OF_THE_CONNECTION.has(classifySqlError(error))) drop();
      throw error;
    }
  }

  /** Whether the rows of the journal stand there, all of them and as they are given: a row may be there that another commit wrote. */
  async function happened(runs: readonly RunCommit[]): Promise<boolean> {
    const rows = runs.flatMap(({ runId, journal }) => (journal === null ? [] : [{ runId, journal }]));
    if (rows.length === 0) return false;
    const { rows: found } = await query({
      text: `SELECT count(*)::int AS n FROM unnest($1::uuid[], $2::int[], $3::text[]) AS u (id, n, events)
        CROSS JOIN LATERAL (SELECT 1 FROM ${s}.saga_journal j
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
  async function happenedFinally(workerId: string, runs: readonly RunCommit[]): Promise<boolean> {
    await query({ text: `SELECT 1 FROM ${s}.worker WHERE id = $1 FOR UPDATE`, values: [workerId] });
    return happened(runs);
  }

  async function commitGroup(workerId: string, runs: readonly RunCommit[]): Promise<void> {
    let inDoubt = false;
    await untilAnswered('a commit of runs', options, async () => {
      if (inDoubt && (await happened(runs))) return;
      try {
        crashPoint('saga.commit:before');
        // What was done already is not held any more, which a second time is no error.
        await query(commitStatement(database.schema, workerId, runs, inDoubt));
        crashPoint('saga.commit:after');
      } catch (error) {
        if (!passesByItself(error) && inDoubt) {
          const known = sqlStateOf(error) === 'HF001' ? await happenedFinally(workerId, runs) : await happened(runs);
          if (known) return;
        }
        // The server's own word is a rollback for certain; only silence leaves it open.
        if (classifySqlError(error) === 'connection') inDoubt = true;
        throw error;
      }
    });
  }

  /** All at once; when the data of one is refused, in halves, so that it does not keep the others from going on. */
  async function commitApart(
    workerId: string,
    runs: readonly RunCommit[],
    failures: Map<string, Error>,
  ): Promise<void> {
    try {
      await commitGroup(workerId, runs);
    } catch (error) {
      if (!isRefusal(error)) throw verdict(error);
      const revoked = revokedBy(error);
      if (revoked.size > 0) {
        for (const id of revoked) failures.set(id, new RevokedError());
        const rest = runs.filter(({ runId }) => !revoked.has(runId));
        if (rest.length > 0 && rest.length < runs.length) return commitApart(workerId, rest, failures);
        if (rest.length === 0) return;
      }
      const [only] = runs;
      if (only !== undefined && runs.length === 1) {
        failures.set(only.runId, explainRefusal(error));
        return;
      }
      if (failures.size === 0)
        log.warn({ err: error, runs: runs.length }, 'a commit was refused; committing its runs in parts');
      const half = runs.length >> 1;
      await commitApart(workerId, runs.slice(0, half), failures);
      await commitApart(workerId, runs.slice(half), failures);
    }
  }

  async function commitAll(workerId: string, runs: readonly RunCommit[]): Promise<void> {
    const failures = new Map<string, Error>();
    await commitApart(workerId, runs, failures);
    if (failures.size > 0) throw new GroupCommitError(failures);
  }

  return {
    commit(workerId, runs) {
      if (runs.length === 0) return Promise.resolve();
      pending += 1;
      const mine = last.then(() => commitAll(workerId, runs)).finally(() => (pending -= 1));
      last = mine.catch(() => undefined);
      return mine;
    },
    get pending() {
      return pending;
    },
    async close() {
      await last;
      const old = client;
      client = undefined;
      await old?.end().catch(() => undefined);
    },
  };
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

function verdict(error: unknown): Error {
  return sqlStateOf(error) === 'HF001' ? leaseLost(error) : translateSqlError(error);
}
