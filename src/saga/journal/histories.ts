/**
 * Stored runs with their journals, for checks of new code: from a database, or from the JSON that `holdfast saga history --json`
 * prints. Only reads. For the CI of those who write sagas.
 */
import { HoldfastError } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { translateSqlError } from '../../postgres/sql-state.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import type { JournalRow } from './events.ts';

/** A run as it is recorded. */
export interface History {
  readonly id: string;
  readonly journal: readonly JournalRow[];
}

/** Options of {@link readHistories}. */
export interface ReadHistoriesOptions {
  readonly saga: string;
  /** @defaultValue 1 */
  readonly version?: number | undefined;
  /**
   * Whether runs that have ended are read as well: samples of what others do.
   *
   * @defaultValue false
   */
  readonly finished?: boolean | undefined;
  /**
   * Most runs, the newest first.
   *
   * @defaultValue 1000
   */
  readonly limit?: number | undefined;
}

/**
 * The newest runs of one version of a saga.
 * Rejects with HF_CONFIG, HF_OPTION_UNKNOWN, HF_SCHEMA_MISSING, HF_DATABASE_UNAVAILABLE.
 *
 * @example
 * const histories = await readHistories(database, { saga: 'place-order', limit: 100 });
 */
export async function readHistories(database: Database, options: ReadHistoriesOptions): Promise<readonly History[]> {
  refuseUnknownOptions(options, ['saga', 'version', 'finished', 'limit'], 'readHistories');
  const { saga, version = 1, finished = false, limit = 1_000 } = options;
  if (typeof saga !== 'string' || saga === '')
    throw badOption('readHistories: saga', `is ${JSON.stringify(saga)}`, 'Give the name of a saga.');
  if (!Number.isInteger(version) || version < 1)
    throw badOption('readHistories: version', `is ${JSON.stringify(version)}`, 'Give a whole number from 1 on.');
  if (!Number.isInteger(limit) || limit < 1)
    throw badOption('readHistories: limit', `is ${JSON.stringify(limit)}`, 'Give a whole number from 1 on.');
  const s = quoteIdentifier(database.schema);
  const { rows } = await database
    .query<{ id: string; journal: JournalRow[] | null }>(
      `SELECT r.id, (
         SELECT json_agg(json_build_object('n', j.n, 'at', round(extract(epoch FROM j.at) * 1000), 'events', j.events) ORDER BY j.n)
         FROM ${s}.saga_journal j WHERE j.saga_id = r.id) AS journal
       FROM ${s}.saga_run r
       WHERE r.saga = $1 AND r.version = $2 AND ($3 OR r.finished_at IS NULL)
       ORDER BY r.started_at DESC, r.id LIMIT $4`,
      [saga, version, finished, limit],
    )
    .catch((error: unknown) => {
      throw translateSqlError(error);
    });
  return rows.map(({ id, journal }) => ({ id, journal: journal ?? [] }));
}

/**
 * What `holdfast saga history --json` printed.
 *
 * @throws HoldfastError HF_CONFIG
 * @example
 * const history = parseHistory('{"saga":"place-order","version":1,"journal":[]}');
 * console.log(await checkReplay(placeOrder, history));
 */
export function parseHistory(text: string): History {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw notAHistory('is no JSON', error);
  }
  const { id, rows } = (value ?? {}) as { readonly id?: unknown; readonly rows?: unknown };
  if (typeof id !== 'string' || !Array.isArray(rows) || rows.length === 0 || !rows.every(isRow))
    throw notAHistory('is not { id, rows: [{ n, at, events }] }');
  // What now() gives at a replay are whole milliseconds.
  return { id, journal: rows.map((row) => ({ ...row, at: Math.round(row.at) })) };
}

function isRow(value: unknown): value is JournalRow {
  if (typeof value !== 'object' || value === null) return false;
  const { n, at, events } = value as Partial<Record<string, unknown>>;
  return Number.isInteger(n) && typeof at === 'number' && Array.isArray(events) && events.every(isEvent);
}

function isEvent(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 't' in value && typeof value.t === 'string';
}

function notAHistory(what: string, cause?: unknown): HoldfastError {
  return new HoldfastError('HF_CONFIG', `The history ${what}.`, {
    advice: 'Make it with `holdfast saga history <id> --json > history.json`.',
    cause,
  });
}
