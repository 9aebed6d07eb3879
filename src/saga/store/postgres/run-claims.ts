/**
 * Claims of runs: those that are due, and those that have messages, as much as fits into memory.
 */
import type pg from 'pg';
import { withOwnTypes } from '../../../postgres/own-results.ts';
import { isHoldfastError } from '../../../errors.ts';
import type { CrashPoint } from '../../../runtime/crash-point.ts';
import type { Logger } from '../../../runtime/log.ts';
import { accountedFor } from '../../journal/losses.ts';
import type { ClaimCapacity, ClaimedRun, SagaVersion, WorkerStore } from '../store.ts';
import { RUN_MESSAGE_PAGE, sortRunMessages, type PendingRunMessageRow } from './pending-run-messages.ts';
import { untilAnswered } from './reconnect.ts';
import { claimedRun, type ClaimedRow } from './saga-rows.ts';
import type { StoreConnections } from './store-connections.ts';
import { translateStoreError, versionArrays, type StoreQueries } from './store-queries.ts';

type Wanted = SagaVersion & { readonly limit: number };
type CollectOptions = Parameters<WorkerStore['collect']>[1];
type Collected = Awaited<ReturnType<WorkerStore['collect']>>;

/** Runs claimed in one transaction, with their journals: bounds its time and the memory it takes. */
const CLAIM_CHUNK = 200;
/** Of journals that one statement loads, and of run messages, about, in bytes. */
const CLAIM_BYTES = 32 * 1024 * 1024;
const RUN_MESSAGE_BYTES = 32 * 1024 * 1024;

export interface RunClaimsOptions {
  readonly on: StoreQueries;
  readonly connections: StoreConnections;
  readonly crashPoint: CrashPoint;
  readonly log: Logger;
  /** A run with a larger journal is set aside as stuck and not loaded, in bytes. */
  readonly largestJournalBytes: number;
}

export class RunClaims {
  readonly #options: RunClaimsOptions;
  readonly #on: StoreQueries;

  constructor(options: RunClaimsOptions) {
    this.#options = options;
    this.#on = options.on;
  }

  /** When the next run of these is due, in milliseconds of the database's time, and whether that is now, to the microsecond. */
  async nextDue(
    sagas: readonly SagaVersion[],
    workerId: string | undefined,
  ): Promise<{ readonly due: number | null; readonly isNow: boolean }> {
    const { s } = this.#on;
    const [row] = await this.#on.rows<{ due: number | null; isNow: boolean }>(
      `SELECT ceil(extract(epoch FROM next) * 1000)::float8 AS due, coalesce(next <= clock_timestamp(), false) AS "isNow"
       FROM (SELECT min((SELECT r.wake_at FROM ${s}.saga_run r
         WHERE r.saga = v.saga AND r.version = v.version AND r.worker IS NULL AND r.wake_at IS NOT NULL
           AND (r.misfits IS NULL OR ${s}.may_take_run($3, r.saga, r.version, r.misfits))
         ORDER BY r.wake_at LIMIT 1)) AS next
       FROM unnest($1::text[], $2::int[]) AS v (saga, version)) AS runs`,
      [...versionArrays(sagas), workerId ?? null],
    );
    return row ?? { due: null, isNow: false };
  }

  async claim(workerId: string, wanted: readonly Wanted[], room?: ClaimCapacity): Promise<readonly ClaimedRun[]> {
    let bytes = room?.bytes ?? CLAIM_BYTES;
    let left: readonly Wanted[] = wanted.filter(({ limit }) => limit > 0);
    const claimed: ClaimedRun[] = [];
    /** Resolves whether there may be more. */
    const claimSome = async (): Promise<boolean> => {
      // A look without a transaction first: an idle worker asks often.
      if (!(await this.nextDue(left, workerId)).isNow) return false;
      // Each gets an equal share of the chunk, so that the backlog of one saga does not keep back the others.
      const share = Math.max(1, Math.floor(CLAIM_CHUNK / left.length));
      const limits = left.map(({ limit }) => Math.min(limit, share));
      const some = await this.#claimDue(workerId, left, limits, Math.min(bytes, CLAIM_BYTES));
      claimed.push(...some);
      bytes -= sizeOf(some);
      left = stillWanted(left, limits, some);
      return left.length > 0 && bytes > 0;
    };
    for (let more = left.length > 0; more;) more = await this.#orWhatThereIs(claimed, claimSome);
    return claimed;
  }

  async collect(
    workerId: string,
    { sagas, limit, taken, room, runMessageBytes = RUN_MESSAGE_BYTES, due = [] }: CollectOptions,
  ): Promise<Collected> {
    const { s } = this.#on;
    const pending = await this.#on.rows<PendingRunMessageRow>(
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
    const claimed = await this.#claimAll(workerId, [...ids], room?.bytes ?? CLAIM_BYTES);
    return { runMessages, claimed, unread };
  }

  /** These runs, as many as fit. */
  async #claimAll(workerId: string, wanted: string[], most: number): Promise<readonly ClaimedRun[]> {
    const claimed: ClaimedRun[] = [];
    let bytes = most;
    while (wanted.length > 0 && bytes > 0) {
      const goOn = await this.#orWhatThereIs(claimed, async () => {
        const ids = wanted.splice(0, CLAIM_CHUNK);
        const some = await this.#claimThese(workerId, ids, Math.min(bytes, CLAIM_BYTES));
        claimed.push(...some);
        bytes -= sizeOf(some);
        return true;
      });
      if (!goOn) break;
    }
    return claimed;
  }

  /** What has been claimed already must be told, or it would be held and in nobody's memory: then the trouble can wait. */
  async #orWhatThereIs(claimed: readonly ClaimedRun[], act: () => Promise<boolean>): Promise<boolean> {
    try {
      return await act();
    } catch (error) {
      if (claimed.length === 0) throw error;
      this.#options.log.warn({ err: error, claimed: claimed.length }, 'not all runs could be claimed that are due');
      return false;
    }
  }

  #claimDue(
    workerId: string,
    wanted: readonly Wanted[],
    limits: readonly number[],
    bytes: number,
  ): Promise<readonly ClaimedRun[]> {
    const sql = `SELECT * FROM ${this.#on.s}.claim_runs($1, $2::text[], $3::int[], $4::int[], $5, $6)`;
    const largest = this.#options.largestJournalBytes;
    return this.#claimBy(workerId, sql, [workerId, ...versionArrays(wanted), limits, bytes, largest]);
  }

  #claimThese(workerId: string, ids: readonly string[], bytes: number): Promise<readonly ClaimedRun[]> {
    const sql = `SELECT * FROM ${this.#on.s}.claim_these_runs($1, $2::uuid[], $3, $4)`;
    return this.#claimBy(workerId, sql, [workerId, ids, bytes, this.#options.largestJournalBytes]);
  }

  /**
   * Claims in a transaction of several statements, so that it is known which runs are claimed before COMMIT is sent. A claim whose
   * COMMIT had no answer would otherwise be held in the database and by nobody in memory, for as long as the worker lives.
   */
  async #claimBy(workerId: string, sql: string, values: readonly unknown[]): Promise<readonly ClaimedRun[]> {
    const { crashPoint } = this.#options;
    let claimed: readonly ClaimedRow[] = [];
    let lapsed: ReadonlyMap<string, readonly number[]> = new Map();
    try {
      crashPoint('saga.claim:before');
      await this.#on.database.transaction(async (client) => {
        const own = withOwnTypes(client);
        claimed = (await own.query<ClaimedRow>(sql, [...values])).rows;
        lapsed = await this.#lapsesOf(own, claimed);
      }, this.#on.inTime);
      crashPoint('saga.claim:after');
    } catch (error) {
      if (!isHoldfastError(error, 'HF_COMMIT_IN_DOUBT')) throw translateStoreError(error);
      const held = await this.#heldOf(workerId, claimed);
      claimed = claimed.filter(({ id }) => held.has(id));
    }
    return claimed.map((row) => ({ ...claimedRun(row), lapsed: lapsed.get(row.id) ?? [] }));
  }

  /** Which losses were lapses, of those whose journal does not account for all. */
  async #lapsesOf(
    client: pg.ClientBase,
    claimed: readonly ClaimedRow[],
  ): Promise<ReadonlyMap<string, readonly number[]>> {
    const { s } = this.#on;
    const ids = claimed.flatMap(({ id, lost, journal }) =>
      lost > 0 && lost > accountedFor(journal ?? []) ? [id] : [],
    );
    if (ids.length === 0) return new Map();
    const { rows } = await client.query<{ id: string; lapsed: readonly number[] }>(
      `SELECT r.id::text AS id, json_agg(l.key::integer) AS lapsed
       FROM ${s}.saga_run r CROSS JOIN LATERAL jsonb_each_text(r.lost_to) l
       WHERE r.id = ANY ($1::uuid[])
         AND (l.value IS NULL OR EXISTS (SELECT 1 FROM ${s}.worker w WHERE l.value::uuid = ANY (w.lapsed)))
       GROUP BY r.id`,
      [ids],
    );
    return new Map(rows.map(({ id, lapsed }) => [id, lapsed]));
  }

  /** Waits for the locks of a claim whose outcome is not known, and tells which of its runs it got. */
  async #heldOf(workerId: string, claimed: readonly ClaimedRow[]): Promise<ReadonlySet<string>> {
    const { database, s, inTime } = this.#on;
    return untilAnswered('a claim of runs', this.#options.connections.patience, async () => {
      const { rows: held } = await database.query<{ id: string }>(
        `SELECT id FROM ${s}.saga_run WHERE id = ANY ($1::uuid[]) AND worker = $2 FOR NO KEY UPDATE`,
        [claimed.map(({ id }) => id), workerId],
        inTime,
      );
      return new Set(held.map(({ id }) => id));
    });
  }
}

/** Those of which there may be more: they got as many as were asked for, and more are wanted. */
function stillWanted(
  asked: readonly Wanted[],
  limits: readonly number[],
  some: readonly ClaimedRun[],
): readonly Wanted[] {
  return asked.flatMap((each, index) => {
    const got = some.filter(({ saga, version }) => saga === each.saga && version === each.version).length;
    return got < (limits[index] ?? 0) || got === each.limit ? [] : [{ ...each, limit: each.limit - got }];
  });
}

/** What was loaded with them, in bytes. */
function sizeOf(runs: readonly ClaimedRun[]): number {
  let bytes = 0;
  for (const { journal, runMessages } of runs)
    for (const each of [...journal, ...runMessages]) bytes += each.bytes ?? 0;
  return bytes;
}
