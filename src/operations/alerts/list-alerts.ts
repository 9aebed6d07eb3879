/**
 * What is alerting now: what is wrong at this moment, beside what was told of it. It answers whether or not anybody watches.
 */
import { isHoldfastError } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { rowsBySql } from '../reads/reads.ts';
import { ALERT_AREAS, ALERT_KINDS, type AlertArea, type AlertKind, type Condition } from './alert.ts';
import type { AlertThresholds } from './conditions.ts';
import { resolveAlerts, type AlertSettings } from './options.ts';
import { readConditions } from './read-conditions.ts';

/** One alert, as {@link listAlerts} found it. */
export interface AlertSummary {
  readonly kind: AlertKind;
  readonly subject: string;
  /**
   * new: no process that watches has seen it yet. pending: not yet for as long as its kind asks for. firing: it was told. clearing: it was
   * told and is over, which is not told yet.
   */
  readonly state: 'new' | 'pending' | 'firing' | 'clearing';
  readonly count: number;
  readonly summary: string;
  readonly advice: string;
  /** For how long it has been known; null for a new one. */
  readonly ageMs: number | null;
  /** Since it was last told that it fires. */
  readonly toldAgoMs: number | null;
  /** Attempts to tell the webhook that have failed; null when nothing waits to be told. */
  readonly failedAttempts: number | null;
}

/** What {@link listAlerts} found. */
export interface AlertsNow {
  readonly alerts: readonly AlertSummary[];
  /** When each area was last looked at, and by which process; null: never. What is not listed, this role may not read. */
  readonly watched: readonly {
    readonly area: AlertArea;
    readonly lookedAgoMs: number | null;
    readonly watcher: string | null;
  }[];
}

interface StoredAlert {
  readonly kind: AlertKind;
  readonly subject: string;
  readonly area: AlertArea;
  readonly state: 'pending' | 'firing' | 'resolved';
  readonly count: number;
  readonly summary: string;
  readonly advice: string;
  readonly age_ms: number;
  readonly told_ms: number | null;
  readonly failed: number | null;
}

/**
 * Worst first: what was told, then what is new. `settings` are those of the processes that watch, for their thresholds.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION, HF_SCHEMA_MISSING, HF_DATABASE_UNAVAILABLE, HF_PERMISSION
 */
export async function listAlerts(database: Database, settings: AlertSettings = {}): Promise<AlertsNow> {
  const { thresholds, isWatched } = resolveAlerts(settings, 'listAlerts');
  const found = await Promise.all(
    ALERT_AREAS.map(async (area) => ({ area, conditions: await readIfAllowed(database, area, thresholds) })),
  );
  return alertsAmong(database, found, isWatched);
}

/** What is wrong in one area. */
export interface AreaConditions {
  readonly area: AlertArea;
  /** Null for a role that may not read it. */
  readonly conditions: readonly Condition[] | null;
}

/** What {@link listAlerts} answers, where it is known already what is wrong. Rejects as it does. */
export async function alertsAmong(
  database: Database,
  found: readonly AreaConditions[],
  isWatched: (kind: AlertKind) => boolean,
): Promise<AlertsNow> {
  const [stored, rounds] = await Promise.all([readStored(database), readRounds(database)]);
  const readable = new Set(found.filter(({ conditions }) => conditions !== null).map(({ area }) => area));
  const now = found.flatMap(({ conditions }) => conditions ?? []).filter(({ kind }) => isWatched(kind));
  return { alerts: summaries(now, stored, readable), watched: rounds.filter(({ area }) => readable.has(area)) };
}

/** Null for a role that may not read it. */
async function readIfAllowed(
  database: Database,
  area: AlertArea,
  thresholds: AlertThresholds,
): Promise<readonly Condition[] | null> {
  try {
    return await readConditions(database, area, thresholds);
  } catch (error) {
    if (isHoldfastError(error, 'HF_PERMISSION')) return null;
    throw error;
  }
}

/** Pure. `readable`: of other areas it is not known what is wrong now. */
function summaries(
  now: readonly Condition[],
  stored: readonly StoredAlert[],
  readable: ReadonlySet<AlertArea>,
): readonly AlertSummary[] {
  const keyOf = ({ kind, subject }: { readonly kind: string; readonly subject: string }): string =>
    `${kind}\n${subject}`;
  const known = new Map(stored.map((each) => [keyOf(each), each]));
  const present = new Set(now.map(keyOf));
  const still = now.map((condition): AlertSummary => {
    const before = known.get(keyOf(condition));
    const isKnown = before !== undefined && before.state !== 'resolved';
    return {
      ...condition,
      state: isKnown ? (before.state === 'firing' ? 'firing' : 'pending') : 'new',
      ageMs: isKnown ? before.age_ms : null,
      toldAgoMs: before?.told_ms ?? null,
      failedAttempts: before?.failed ?? null,
    };
  });
  const over = stored
    .filter((each) => each.state === 'firing' && !present.has(keyOf(each)))
    .map(({ kind, subject, area, count, summary, advice, ...row }): AlertSummary => ({
      kind,
      subject,
      count,
      summary,
      advice,
      state: readable.has(area) ? 'clearing' : 'firing',
      ageMs: row.age_ms,
      toldAgoMs: row.told_ms,
      failedAttempts: row.failed,
    }));
  const order = ['firing', 'new', 'pending', 'clearing'];
  const kinds = Object.keys(ALERT_KINDS);
  return [...still, ...over].toSorted(
    (a, b) =>
      order.indexOf(a.state) - order.indexOf(b.state) ||
      kinds.indexOf(a.kind) - kinds.indexOf(b.kind) ||
      (a.subject < b.subject ? -1 : 1),
  );
}

function readStored(database: Database): Promise<readonly StoredAlert[]> {
  const age = (column: string): string => `extract(epoch FROM clock_timestamp() - ${column})::float8 * 1000`;
  return rowsBySql<StoredAlert>(
    database,
    `SELECT kind, subject, area, state, count::float8 AS count, summary, advice, ${age('since')} AS age_ms, ${age('told_at')} AS told_ms,
       CASE WHEN notice_id IS NOT NULL THEN notice_attempts END AS failed
     FROM ${quoteIdentifier(database.schema)}.alert`,
  );
}

async function readRounds(database: Database): Promise<AlertsNow['watched']> {
  const found = await rowsBySql<{ area: AlertArea; ago_ms: number | null; watcher: string | null }>(
    database,
    `SELECT a.area, r.watcher, extract(epoch FROM clock_timestamp() - r.at)::float8 * 1000 AS ago_ms
     FROM unnest(ARRAY['consumers', 'relay', 'sagas']) AS a (area)
     LEFT JOIN ${quoteIdentifier(database.schema)}.alert_round r USING (area) ORDER BY a.area`,
  );
  return found.map(({ area, ago_ms: lookedAgoMs, watcher }) => ({ area, lookedAgoMs, watcher }));
}
