/**
 * The rows of workers: registration, lease, takeover, and which runs a worker holds.
 */
import type pg from 'pg';
import { sqlStateOf } from '../../../postgres/sql-state.ts';
import type { Logger } from '../../../runtime/log.ts';
import { leaseLost } from '../commit-error.ts';
import type { WorkerStore } from '../store.ts';
import type { StoreConnections } from './store-connections.ts';
import { SQL_NOW, translateStoreError, type StoreQueries } from './store-queries.ts';

/** How long a takeover waits for a commit under way before it goes on with the next worker, in milliseconds. */
const TAKEOVER_LOCK_MS = 300;

export class WorkerLeases {
  readonly #on: StoreQueries;
  readonly #connections: StoreConnections;
  readonly #log: Logger;

  constructor(on: StoreQueries, connections: StoreConnections, log: Logger) {
    this.#on = on;
    this.#connections = connections;
    this.#log = log;
  }

  async register({
    id,
    name,
    sagas,
    leaseMs,
    codes = {},
    maxBytes,
    limits,
    shown,
    lapsed = [],
  }: Parameters<WorkerStore['register']>[0]): Promise<number> {
    const [row] = await this.#leaseRows<{ now: number }>(
      `INSERT INTO ${this.#on.s}.worker (id, name, sagas, lease_until, codes, max_bytes, max_events, max_journal_bytes, settings, lapsed)
         VALUES ($1, $2, $3::text::jsonb, clock_timestamp() + $4::float8 * interval '1 millisecond', $5::text::jsonb, $6, $7, $8, $9::text::jsonb, $10::uuid[])
         RETURNING ${SQL_NOW} AS now`,
      [
        id,
        name,
        JSON.stringify(sagas.map(({ saga, version }) => `${saga}@${version}`)),
        leaseMs,
        JSON.stringify(codes),
        maxBytes ?? null,
        limits?.maxEvents ?? null,
        limits?.maxJournalBytes ?? null,
        shown === undefined ? null : JSON.stringify(shown),
        lapsed,
      ],
    );
    return row?.now ?? 0;
  }

  async renew(workerId: string, leaseMs: number, draining = false): Promise<number> {
    const [row] = await this.#leaseRows<{ now: number }>(
      `UPDATE ${this.#on.s}.worker SET lease_until = clock_timestamp() + $2::float8 * interval '1 millisecond', draining = $3
         WHERE id = $1 AND lease_until > clock_timestamp() RETURNING ${SQL_NOW} AS now`,
      [workerId, leaseMs, draining],
    );
    if (row === undefined) throw leaseLost();
    return row.now;
  }

  async offeredElsewhere(workerId: string, runId: string): Promise<boolean> {
    const [row] = await this.#on.rows<{ elsewhere: boolean }>(
      `SELECT EXISTS (SELECT 1 FROM ${this.#on.s}.worker w WHERE w.id <> $1 AND w.lease_until > clock_timestamp() AND NOT w.draining
           AND w.sagas ? o.name AND (w.codes ->> o.name = ANY (r.misfits || ARRAY[own.codes ->> o.name])) IS NOT TRUE) AS elsewhere
         FROM ${this.#on.s}.saga_run r CROSS JOIN LATERAL (SELECT r.saga || '@' || r.version AS name) o
         LEFT JOIN ${this.#on.s}.worker own ON own.id = $1 WHERE r.id = $2`,
      [workerId, runId],
    );
    return row?.elsewhere ?? false;
  }

  async goesOn(runId: string): Promise<boolean> {
    const [row] = await this.#on.rows<{ lost: boolean }>(
      `SELECT EXISTS (SELECT 1 FROM ${this.#on.s}.saga_run r WHERE r.id = $1 AND r.finished_at IS NULL AND NOT EXISTS (
           SELECT 1 FROM ${this.#on.s}.worker w WHERE w.lease_until > clock_timestamp() AND w.sagas ? (r.saga || '@' || r.version))) AS lost`,
      [runId],
    );
    return row?.lost !== true;
  }

  async takeOver(): Promise<{ readonly workers: number; readonly runs: number }> {
    const dead = await this.#on.rows<{ id: string }>(
      `SELECT id FROM ${this.#on.s}.worker WHERE lease_until <= clock_timestamp()`,
      [],
    );
    let workers = 0;
    let runs = 0;
    for (const { id } of dead) {
      const freed = await this.#takeOverFrom(id);
      if (freed === null) continue;
      workers += 1;
      runs += freed;
      this.#log.warn({ worker: id, runs: freed }, 'took over from a worker whose lease is over');
    }
    if (runs > 0) await this.#on.rows(`SELECT ${this.#on.s}.wake_workers()`, []);
    return { workers, runs };
  }

  /** How many runs are freed by that; null: it is not over, or still writing. */
  async #takeOverFrom(id: string): Promise<number | null> {
    const { database, inTime, s } = this.#on;
    try {
      return await database.transaction(async (client) => {
        await client.query(`SET LOCAL lock_timeout = ${TAKEOVER_LOCK_MS}`);
        // Waits for commits under way, which hold the row; not skipped, or a busy worker's last commit would save it from its end.
        const gone = await client.query(`DELETE FROM ${s}.worker WHERE id = $1 AND lease_until <= clock_timestamp()`, [
          id,
        ]);
        // The runs are nobody's any more but for this transaction: what still locks one of them is only looking.
        await client.query('SET LOCAL lock_timeout = 0');
        return gone.rowCount === 0 ? null : (await client.query(freeSql(s, 'worker'), [id])).rowCount;
      }, inTime);
    } catch (error) {
      if (sqlStateOf(error) !== '55P03') throw translateStoreError(error);
      this.#log.info({ worker: id }, 'a worker whose lease is over is still writing; it is taken over later');
      return null;
    }
  }

  async retire(workerId: string, lost: boolean): Promise<void> {
    const { s } = this.#on;
    await this.#on.transaction(async (client) => {
      const gone = await client.query(`DELETE FROM ${s}.worker WHERE id = $1`, [workerId]);
      if (gone.rowCount === 0) return;
      const { rowCount } = await client.query(freeSql(s, lost ? 'null' : false), [workerId]);
      if ((rowCount ?? 0) > 0) await client.query(`SELECT ${s}.wake_workers()`);
    });
  }

  async held(workerId: string): Promise<readonly string[]> {
    const held = await this.#on.rows<{ id: string }>(
      `SELECT id::text AS id FROM ${this.#on.s}.saga_run WHERE worker = $1`,
      [workerId],
    );
    return held.map(({ id }) => id);
  }

  async letGo(workerId: string, runIds: readonly string[], delayMs: number): Promise<void> {
    await this.#on.rows(`${freeSql(this.#on.s, false, delayMs)} AND id = ANY ($2::uuid[])`, [workerId, runIds]);
  }

  async #leaseRows<R extends pg.QueryResultRow>(sql: string, values: readonly unknown[]): Promise<readonly R[]> {
    return this.#connections.lease.query<R>(sql, values).catch((error: unknown) => {
      throw translateStoreError(error);
    });
  }
}

/** As many of the last losses of a run are told apart. */
const KEPT_LOSSES = 12;

/**
 * Due after the delay, but for what has ended or waits for a person: that is taken up when there is a message. `lostTo`: what becomes of its
 * attempts is not known, and who lost them; null: who has said so.
 */
function freeSql(s: string, lostTo: false | 'worker' | 'null', delayMs = 0): string {
  const lost =
    lostTo === false
      ? ''
      : `lost = lost + 1, lost_to = coalesce(lost_to, '{}') - (lost + 1 - ${KEPT_LOSSES})::text
    || jsonb_build_object((lost + 1)::text, ${lostTo}),`;
  return `UPDATE ${s}.saga_run SET worker = NULL, ${lost}
    wake_at = CASE WHEN status NOT IN ('completed', 'compensated', 'stuck') THEN clock_timestamp() + interval '${delayMs} milliseconds' END WHERE worker = $1`;
}
