/**
 * The store of workers on PostgreSQL: leases, claims, run messages, and what writes under a lease (group-commit.ts, transaction-step.ts).
 * The duties stand in store.ts, the tables and their functions in migrations/0003_saga.sql.
 */
import { createOwnConnection } from '../../../postgres/own-connection.ts';
import type pg from 'pg';
import { withOwnTypes } from '../../../postgres/own-results.ts';
import { HoldfastError, isHoldfastError } from '../../../errors.ts';
import type { Database } from '../../../postgres/database.ts';
import { quoteIdentifier } from '../../../postgres/quoting.ts';
import { sqlStateOf, translateSqlError } from '../../../postgres/sql-state.ts';
import { systemClock, type Clock } from '../../../runtime/clock.ts';
import { noCrash, type CrashPoint } from '../../../runtime/crash-point.ts';
import type { Logger } from '../../../runtime/log.ts';
import { safeLogger } from '../../../runtime/observers.ts';
import { createSemaphore } from '../../../runtime/semaphore.ts';
import { leaseLost } from '../commit-error.ts';
import { createGroupCommitter } from './group-commit.ts';
import { untilAnswered, type Patience } from './reconnect.ts';
import { claimedRun, type ClaimedRow } from './saga-rows.ts';
import { RUN_MESSAGE_PAGE, sortRunMessages, type PendingRunMessage } from './pending-run-messages.ts';
import type { ClaimedRun, SagaVersion, WorkerStore } from '../store.ts';
import { runTransactionStep } from './transaction-step.ts';

export interface PostgresWorkerStoreOptions {
  readonly database: Database;
  readonly log?: Logger | undefined;
  readonly crashPoint?: CrashPoint | undefined;
  readonly clock?: Clock | undefined;
  /** How long a transaction step may stand still before the server ends it, in ms; half a lease is right. Default 7500. */
  readonly idleInTransactionMs?: number | undefined;
  /** How long a commit waits for its answer before it is found out about, in ms. Default 10000. */
  readonly queryTimeoutMs?: number | undefined;
  /** A run with a larger journal is set aside as stuck and not loaded, in bytes. Default 128 MiB. */
  readonly largestJournalBytes?: number | undefined;
}

/** `open` checks that the database answers, also after a `close`, which waits for the commit under way and ends what cannot reach the database. */
export type PostgresWorkerStore = WorkerStore & { open(): Promise<void>; close(): Promise<void> };

/** Runs claimed in one transaction, with their journals: bounds its time and the memory it takes. */
const CLAIM_CHUNK = 200;
/** Of journals and run messages that one statement loads, about, in bytes. */
const CLAIM_BYTES = 32 * 1024 * 1024;
const RUN_MESSAGE_BYTES = 32 * 1024 * 1024;
const LARGEST_JOURNAL_BYTES = 128 * 1024 * 1024;
/** How long a takeover waits for a commit under way before it goes on with the next worker, in milliseconds. */
const TAKEOVER_LOCK_MS = 300;
/** How long `close` leaves to a commit under way before it gives up on its answer, in milliseconds. */
const CLOSE_MS = 5_000;

/** Connections of the pool that transaction steps leave to the lease, to claims and to whoever else uses the pool. */
const KEPT_FREE = 3;

const NOW = 'round(extract(epoch FROM clock_timestamp()) * 1000)::float8';

export function createPostgresWorkerStore(options: PostgresWorkerStoreOptions): PostgresWorkerStore {
  const { database, crashPoint = noCrash, clock = systemClock } = options;
  const log = safeLogger(options.log);
  const { idleInTransactionMs = 7_500, queryTimeoutMs = 10_000 } = options;
  const { largestJournalBytes: largest = LARGEST_JOURNAL_BYTES } = options;
  const s = quoteIdentifier(database.schema);
  const inTime = { timeoutMs: queryTimeoutMs };
  const transacting = createSemaphore(Math.max(1, (database.pool.options.max ?? 10) - KEPT_FREE));
  let parts = openParts();

  /** What `close` uses up. */
  function openParts() {
    const closing = new AbortController();
    const patience: Patience = { clock, log, closed: closing.signal };
    // Two, because a worker has two commits under way: while one waits for the disk, the other goes on.
    const committer = () => createGroupCommitter({ ...patience, database, crashPoint, queryTimeoutMs });
    return {
      closing,
      patience,
      // The lease must not wait for a connection of the pool, which handlers may hold for as long as they like.
      lease: createOwnConnection(database, { queryTimeoutMs }),
      group: committer(),
      other: committer(),
    };
  }

  async function leaseRows<R extends pg.QueryResultRow>(
    sql: string,
    values: readonly unknown[],
  ): Promise<readonly R[]> {
    return parts.lease.query<R>(sql, values).catch((error: unknown) => {
      throw translate(error);
    });
  }

  async function rows<R extends object>(sql: string, values: readonly unknown[]): Promise<readonly R[]> {
    try {
      return (await database.query(sql, values, inTime)).rows as R[];
    } catch (error) {
      throw translate(error);
    }
  }

  /**
   * Claims in a transaction of several statements, so that it is known which runs are claimed before COMMIT is sent. A claim whose
   * COMMIT had no answer would otherwise be held in the database and by nobody in memory, for as long as the worker lives.
   */
  async function claimBy(workerId: string, sql: string, values: readonly unknown[]): Promise<readonly ClaimedRun[]> {
    let claimed: readonly ClaimedRow[] = [];
    try {
      crashPoint('saga.claim:before');
      await database.transaction(async (client) => {
        claimed = (await withOwnTypes(client).query<ClaimedRow>(sql, [...values])).rows;
      }, inTime);
      crashPoint('saga.claim:after');
    } catch (error) {
      if (!isHoldfastError(error, 'HF_COMMIT_IN_DOUBT')) throw translate(error);
      const held = await heldOf(workerId, claimed);
      claimed = claimed.filter(({ id }) => held.has(id));
    }
    return claimed.map(claimedRun);
  }

  /** Waits for the locks of a claim whose outcome is not known, and tells which of its runs it got. */
  async function heldOf(workerId: string, claimed: readonly ClaimedRow[]): Promise<ReadonlySet<string>> {
    return untilAnswered('a claim of runs', parts.patience, async () => {
      const { rows: held } = await database.query<{ id: string }>(
        `SELECT id FROM ${s}.saga_run WHERE id = ANY ($1::uuid[]) AND worker = $2 FOR NO KEY UPDATE`,
        [claimed.map(({ id }) => id), workerId],
        inTime,
      );
      return new Set(held.map(({ id }) => id));
    });
  }

  /** What has been claimed already must be told, or it would be held and in nobody's memory: then the trouble can wait. */
  async function orWhatThereIs(claimed: readonly ClaimedRun[], act: () => Promise<boolean>): Promise<boolean> {
    try {
      return await act();
    } catch (error) {
      if (claimed.length === 0) throw error;
      log.warn({ err: error, claimed: claimed.length }, 'not all runs could be claimed that are due');
      return false;
    }
  }

  const claimThese = (workerId: string, ids: readonly string[], bytes: number): Promise<readonly ClaimedRun[]> =>
    claimBy(workerId, `SELECT * FROM ${s}.claim_these_runs($1, $2::uuid[], $3, $4)`, [workerId, ids, bytes, largest]);

  async function nextDue(
    sagas: readonly SagaVersion[],
    workerId: string | undefined,
  ): Promise<{ readonly due: number | null; readonly now: number }> {
    const [row] = await rows<{ due: number | null; now: number }>(
      `SELECT ${NOW} AS now, (SELECT min((SELECT ceil(extract(epoch FROM r.wake_at) * 1000)::float8 FROM ${s}.saga_run r
         WHERE r.saga = v.saga AND r.version = v.version AND r.worker IS NULL AND r.wake_at IS NOT NULL
           AND (r.misfits IS NULL OR ${s}.may_take_run($3, r.saga, r.version, r.misfits))
         ORDER BY r.wake_at LIMIT 1))
       FROM unnest($1::text[], $2::int[]) AS v (saga, version)) AS due`,
      [...versionArrays(sagas), workerId ?? null],
    );
    return row ?? { due: null, now: 0 };
  }

  return {
    async open() {
      if (parts.closing.signal.aborted) parts = openParts();
      await rows('SELECT 1', []);
    },

    async close() {
      const { closing, group, other, lease } = parts;
      const patienceIsOver = setTimeout(() => closing.abort(), CLOSE_MS);
      await Promise.all([group.close(), other.close(), lease.close()]);
      clearTimeout(patienceIsOver);
      closing.abort();
    },

    async register({ id, name, sagas, leaseMs, codes = {}, maxBytes = null, limits }) {
      const [row] = await leaseRows<{ now: number }>(
        `INSERT INTO ${s}.worker (id, name, sagas, lease_until, codes, max_bytes, max_events, max_journal_bytes)
         VALUES ($1, $2, $3::text::jsonb, clock_timestamp() + $4::float8 * interval '1 millisecond', $5::text::jsonb, $6, $7, $8)
         RETURNING ${NOW} AS now`,
        [
          id,
          name,
          JSON.stringify(sagas.map(({ saga, version }) => `${saga}@${version}`)),
          leaseMs,
          JSON.stringify(codes),
          maxBytes,
          limits?.maxEvents ?? null,
          limits?.maxJournalBytes ?? null,
        ],
      );
      return row?.now ?? 0;
    },

    async renew(workerId, leaseMs, draining = false) {
      const [row] = await leaseRows<{ now: number }>(
        `UPDATE ${s}.worker SET lease_until = clock_timestamp() + $2::float8 * interval '1 millisecond', draining = $3
         WHERE id = $1 AND lease_until > clock_timestamp() RETURNING ${NOW} AS now`,
        [workerId, leaseMs, draining],
      );
      if (row === undefined) throw leaseLost();
      return row.now;
    },

    async offeredElsewhere(workerId, runId) {
      const [row] = await rows<{ elsewhere: boolean }>(
        `SELECT EXISTS (SELECT 1 FROM ${s}.worker w WHERE w.id <> $1 AND w.lease_until > clock_timestamp() AND NOT w.draining
           AND w.sagas ? o.name AND (w.codes ->> o.name = ANY (r.misfits || ARRAY[own.codes ->> o.name])) IS NOT TRUE) AS elsewhere
         FROM ${s}.saga_run r CROSS JOIN LATERAL (SELECT r.saga || '@' || r.version AS name) o
         LEFT JOIN ${s}.worker own ON own.id = $1 WHERE r.id = $2`,
        [workerId, runId],
      );
      return row?.elsewhere ?? false;
    },

    async goesOn(runId) {
      const [row] = await rows<{ lost: boolean }>(
        `SELECT EXISTS (SELECT 1 FROM ${s}.saga_run r WHERE r.id = $1 AND r.finished_at IS NULL AND NOT EXISTS (
           SELECT 1 FROM ${s}.worker w WHERE w.lease_until > clock_timestamp() AND w.sagas ? (r.saga || '@' || r.version))) AS lost`,
        [runId],
      );
      return row?.lost !== true;
    },

    async takeOver() {
      const dead = await rows<{ id: string }>(`SELECT id FROM ${s}.worker WHERE lease_until <= clock_timestamp()`, []);
      let workers = 0;
      let runs = 0;
      for (const { id } of dead) {
        try {
          const freed = await database.transaction(async (client) => {
            await client.query(`SET LOCAL lock_timeout = ${TAKEOVER_LOCK_MS}`);
            // Waits for commits under way, which hold the row; not skipped, or a busy worker's last commit would save it from its end.
            const gone = await client.query(
              `DELETE FROM ${s}.worker WHERE id = $1 AND lease_until <= clock_timestamp()`,
              [id],
            );
            // The runs are nobody's any more but for this transaction: what still locks one of them is only looking.
            await client.query('SET LOCAL lock_timeout = 0');
            return gone.rowCount === 0 ? null : (await client.query(freeSql(s, 1), [id])).rowCount;
          }, inTime);
          if (freed === null) continue;
          workers += 1;
          runs += freed;
          log.warn({ worker: id, runs: freed }, 'took over from a worker whose lease is over');
        } catch (error) {
          if (sqlStateOf(error) !== '55P03') throw translate(error);
          log.info({ worker: id }, 'a worker whose lease is over is still writing; it is taken over later');
        }
      }
      if (runs > 0) await rows(`SELECT ${s}.wake_workers()`, []);
      return { workers, runs };
    },

    async retire(workerId) {
      try {
        await database.transaction(async (client) => {
          const gone = await client.query(`DELETE FROM ${s}.worker WHERE id = $1`, [workerId]);
          if (gone.rowCount === 0) return;
          const { rowCount } = await client.query(freeSql(s, 0), [workerId]);
          if ((rowCount ?? 0) > 0) await client.query(`SELECT ${s}.wake_workers()`);
        }, inTime);
      } catch (error) {
        throw translate(error);
      }
    },

    async held(workerId) {
      const held = await rows<{ id: string }>(`SELECT id::text AS id FROM ${s}.saga_run WHERE worker = $1`, [workerId]);
      return held.map(({ id }) => id);
    },

    async letGo(workerId, runIds, delayMs) {
      await rows(`${freeSql(s, 0, delayMs)} AND id = ANY ($2::uuid[])`, [workerId, runIds]);
    },

    async claim(workerId, wanted, room) {
      let bytes = room?.bytes ?? CLAIM_BYTES;
      const left = new Map(
        wanted.filter(({ limit }) => limit > 0).map((each) => [`${each.saga}@${each.version}`, { ...each }]),
      );
      const claimed: ClaimedRun[] = [];
      for (let more = left.size > 0; more;) more = await orWhatThereIs(claimed, claimSome);
      return claimed;

      /** Resolves whether there may be more. */
      async function claimSome(): Promise<boolean> {
        const asked = [...left.values()];
        // A look without a transaction first: an idle worker asks often.
        const { due, now } = await nextDue(asked, workerId);
        if (due === null || due > now) return false;
        // Each gets an equal share of the chunk, so that the backlog of one saga does not keep back the others.
        const share = Math.max(1, Math.floor(CLAIM_CHUNK / asked.length));
        const limits = asked.map(({ limit }) => Math.min(limit, share));
        const some = await claimBy(
          workerId,
          `SELECT * FROM ${s}.claim_runs($1, $2::text[], $3::int[], $4::int[], $5, $6)`,
          [workerId, ...versionArrays(asked), limits, Math.min(bytes, CLAIM_BYTES), largest],
        );
        claimed.push(...some);
        bytes -= sizeOf(some);
        for (const [index, each] of asked.entries()) {
          const got = some.filter(({ saga, version }) => saga === each.saga && version === each.version).length;
          const key = `${each.saga}@${each.version}`;
          if (got < (limits[index] ?? 0) || got === each.limit) left.delete(key);
          else left.set(key, { ...each, limit: each.limit - got });
        }
        return left.size > 0 && bytes > 0;
      }
    },

    async collect(workerId, { sagas, limit, taken, room, runMessageBytes = RUN_MESSAGE_BYTES, due = [] }) {
      const pending = await rows<PendingRunMessage>(
        `SELECT id, saga_id, held, body, bytes, at, false AS due
         FROM ${s}.pending_saga_mail($1, $2::text[], $3::int[], $4::bigint[], ${RUN_MESSAGE_PAGE}, $5)
         ${due.length === 0 ? '' : `UNION ALL SELECT id, saga_id, true, body, bytes, at, true FROM ${s}.saga_mail_of($6::uuid[], $4::bigint[], ${RUN_MESSAGE_PAGE}, $7)`}`,
        [
          workerId,
          ...versionArrays(sagas),
          taken,
          Math.floor(runMessageBytes / Math.max(1, sagas.length)),
          ...(due.length === 0 ? [] : [due, runMessageBytes]),
        ],
      );
      const { runMessages, ids, unread } = sortRunMessages(pending, limit, due);
      const claimed: ClaimedRun[] = [];
      const wanted = [...ids];
      let bytes = room?.bytes ?? CLAIM_BYTES;
      while (wanted.length > 0 && bytes > 0) {
        const goOn = await orWhatThereIs(claimed, async () => {
          const some = await claimThese(workerId, wanted.splice(0, CLAIM_CHUNK), Math.min(bytes, CLAIM_BYTES));
          claimed.push(...some);
          bytes -= sizeOf(some);
          return true;
        });
        if (!goOn) break;
      }
      return { runMessages, claimed, unread };
    },

    commit(workerId, runs) {
      const { group, other } = parts;
      return (group.pending > other.pending ? other : group).commit(workerId, runs);
    },

    transaction: (workerId, body) =>
      transacting.run(() =>
        runTransactionStep(
          { ...parts.patience, database, crashPoint, idleInTransactionMs, queryTimeoutMs },
          workerId,
          body,
        ),
      ),

    nextDue: async (sagas, workerId) => (await nextDue(sagas, workerId)).due,

    async now() {
      const [row] = await rows<{ now: number }>(`SELECT ${NOW} AS now`, []);
      return row?.now ?? 0;
    },
  };
}

/** What was loaded with them, in bytes. */
function sizeOf(runs: readonly ClaimedRun[]): number {
  let bytes = 0;
  for (const { journal, runMessages } of runs)
    for (const each of [...journal, ...runMessages]) bytes += each.bytes ?? 0;
  return bytes;
}

/** Due after the delay, but for what has ended or waits for a person: that is taken up when there is a message. */
function freeSql(s: string, lost: 0 | 1, delayMs = 0): string {
  return `UPDATE ${s}.saga_run SET worker = NULL, lost = lost + ${lost},
    wake_at = CASE WHEN status NOT IN ('completed', 'compensated', 'stuck') THEN clock_timestamp() + interval '${delayMs} milliseconds' END WHERE worker = $1`;
}

function versionArrays(sagas: readonly SagaVersion[]): readonly [readonly string[], readonly number[]] {
  return [sagas.map(({ saga }) => saga), sagas.map(({ version }) => version)];
}

function translate(error: unknown): Error {
  if (sqlStateOf(error) === 'HF001') return leaseLost(error);
  return error instanceof HoldfastError ? error : translateSqlError(error);
}
