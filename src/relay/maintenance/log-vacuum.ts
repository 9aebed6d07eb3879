/**
 * Has PostgreSQL take back the space of the messages that retention has deleted. Autovacuum comes once a minute and does so with the
 * restraint of a guest; a log that is written fast has grown by then. Only the owner of the tables, or from PostgreSQL 17 on who has
 * MAINTAIN on them, may do it: for other roles autovacuum has to.
 */
import { endBackend, pidOf } from '../../postgres/backend.ts';
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import type { Logger } from '../../runtime/log.ts';

/** Fewer deleted rows than this are left to autovacuum. */
const LEAST_ROWS = 50_000;
/** Nor is it done for less than this part of the log: it reads the indexes whole. */
const LEAST_PART = 0.1;
/** It takes at most this part of the time. */
const LARGEST_SHARE = 0.1;
/** After that the network counts as silent, in milliseconds. */
const LONGEST_MS = 6 * 3_600_000;

export interface VacuumFacts {
  /** Rows deleted since the last one. */
  readonly deleted: number;
  /** Rows that the table has, as far as the statistics know; below zero: never counted. */
  readonly rows: number;
}

/** Whether the space is worth taking back. Pure. */
export function isVacuumWorthwhile({ deleted, rows }: VacuumFacts): boolean {
  return deleted >= Math.max(LEAST_ROWS, LEAST_PART * rows);
}

export interface LogVacuumOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly crashPoint: CrashPoint;
}

export class LogVacuum {
  readonly #options: LogVacuumOptions;
  #deleted = 0;
  #notBeforeMs = -Infinity;
  #saidOnce = false;

  constructor(options: LogVacuumOptions) {
    this.#options = options;
  }

  /** Retention has deleted so many rows. Says whether it may be time to `run`. */
  note(deleted: number): boolean {
    this.#deleted += deleted;
    return this.#deleted >= LEAST_ROWS;
  }

  /**
   * Does it, if it is worthwhile and time. `signal` ends it, wherever it is: what it has not come to is done the next time. Resolves with
   * the milliseconds after which to ask again; Infinity: when more was deleted.
   */
  async run(signal: AbortSignal): Promise<number> {
    const { database, clock, crashPoint } = this.#options;
    if (this.#deleted < LEAST_ROWS || signal.aborted) return Infinity;
    const waitMs = this.#notBeforeMs - clock.monotonic();
    if (waitMs > 0) return waitMs;
    const { rows, allowed } = await this.#facts();
    if (!isVacuumWorthwhile({ deleted: this.#deleted, rows })) return Infinity;
    if (!allowed) {
      this.#sayThatItMayNot();
      this.#deleted = 0;
      return Infinity;
    }
    const startedAtMs = clock.monotonic();
    const deletedBefore = this.#deleted;
    crashPoint('relay.vacuum:before');
    await vacuum(database, signal);
    crashPoint('relay.vacuum:after');
    this.#deleted -= deletedBefore;
    const tookMs = clock.monotonic() - startedAtMs;
    this.#notBeforeMs = clock.monotonic() + tookMs * (1 / LARGEST_SHARE - 1);
    this.#options.log.debug({ deleted: deletedBefore, tookMs: Math.round(tookMs) }, 'log vacuumed');
    return this.#deleted < LEAST_ROWS ? Infinity : this.#notBeforeMs - clock.monotonic();
  }

  async #facts(): Promise<{ readonly rows: number; readonly allowed: boolean }> {
    const { database } = this.#options;
    const { rows } = await database.query<{ rows: number; allowed: boolean }>(
      `SELECT c.reltuples::float8 AS rows, pg_has_role(c.relowner, 'USAGE')
         OR pg_has_role((SELECT d.datdba FROM pg_database d WHERE d.datname = current_database()), 'USAGE')
         -- Before 17 there is no such right, and to ask for it is an error.
         OR CASE WHEN current_setting('server_version_num')::int >= 170000 THEN has_table_privilege(c.oid, 'MAINTAIN') ELSE false END AS allowed
       FROM pg_class c WHERE c.oid = $1::regclass`,
      [`${quoteIdentifier(database.schema)}.outbox`],
    );
    return rows[0] ?? { rows: -1, allowed: false };
  }

  #sayThatItMayNot(): void {
    if (this.#saidOnce) return;
    this.#saidOnce = true;
    this.#options.log.info(
      {},
      'this role may not vacuum the log: the space of pruned messages comes back when autovacuum comes, see docs/operations.md',
    );
  }
}

/**
 * SKIP_LOCKED: not while autovacuum or another relay is at it. Without truncation, for which the table is locked against everybody for a
 * moment: what is free at its end is written to again soon.
 */
async function vacuum(database: Database, signal: AbortSignal): Promise<void> {
  const client = await database.dedicatedConnection({ queryTimeoutMs: LONGEST_MS, onLost: () => {} });
  const end = (): void => {
    // To close the connection would not end what the server does.
    void endBackend(database, pidOf(client)).catch(() => {});
  };
  signal.addEventListener('abort', end, { once: true });
  try {
    if (signal.aborted) return;
    await client.query(`VACUUM (SKIP_LOCKED, TRUNCATE false, PARALLEL 0) ${quoteIdentifier(database.schema)}.outbox`);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', end);
    await client.end().catch(() => {});
  }
}
