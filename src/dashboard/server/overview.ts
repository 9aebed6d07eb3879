/**
 * The overview: how relays and sagas are doing, and, of what was seen while somebody looked, how it was in the last quarter of an hour.
 */
import { isHoldfastError } from '../../errors.ts';
import { countOf } from '../../operations/jobs/job.ts';
import { listJobs } from '../../operations/jobs/jobs.ts';
import { relayStatus, type RelayStatus } from '../../operations/relay/relay-status.ts';
import { runCounts, sagaHealth, type SagaStatus } from '../../operations/sagas/saga-status.ts';
import type { Database } from '../../postgres/database.ts';
import type { Clock } from '../../runtime/clock.ts';
import { sharedAnswer } from '../../runtime/shared-answer.ts';
import { objectivesOf, readAlertsView, type SettledAlerts } from './alerts-view.ts';
import type { OpenJob, Overview, OverviewPoint } from './contract.ts';

/** Counting runs reads far more than all the rest. */
const COUNT_EVERY_MS = 15_000;

export interface OverviewReaderOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly alerts: SettledAlerts;
}

/** Reads it; each call adds to its history. */
export function createOverviewReader({ database, clock, alerts }: OverviewReaderOptions): () => Promise<Overview> {
  const counts = sharedAnswer(
    () => runCounts(database),
    COUNT_EVERY_MS,
    () => clock.monotonic(),
  );
  let trail: Trail = { points: [], seen: null };

  async function sagas(): Promise<SagaStatus> {
    const [counted, health] = await Promise.all([counts(), sagaHealth(database)]);
    return { counts: counted, ...health };
  }

  return async () => {
    const [relay, sagaStatus, jobs] = await Promise.all([
      relayStatus(database),
      ifPermitted(sagas()),
      ifPermitted(openJobs(database)),
    ]);
    const now = { atMs: clock.now(), relay, sagas: sagaStatus };
    trail = extendTrail(trail, now);
    return {
      at: new Date(now.atMs),
      relay,
      sagas: sagaStatus,
      history: trail.points,
      objectives: objectivesOf(relay, alerts),
      jobs,
      alerts: await readAlertsView(database, { relay, sagas: sagaStatus }, alerts),
    };
  };
}

/** Null for a role that may not read it. */
async function ifPermitted<T>(reading: Promise<T>): Promise<T | null> {
  try {
    return await reading;
  } catch (error) {
    if (isHoldfastError(error, 'HF_PERMISSION')) return null;
    throw error;
  }
}

/** By the index of open ones: there are few. */
async function openJobs(database: Database): Promise<readonly OpenJob[]> {
  const open = await listJobs(database, { state: 'open', limit: 20 });
  return open.map(({ id, act, done, planned, passedOver, failed, runner }) => ({
    id,
    kind: act.kind,
    done,
    planned,
    passedOver: countOf(passedOver),
    failed: countOf(failed),
    runner,
  }));
}

/** Points of the charts, and what the rates of the next one are reckoned from. */
export interface Trail {
  readonly points: readonly OverviewPoint[];
  readonly seen: Totals | null;
}

interface Totals {
  readonly atMs: number;
  readonly published: number;
  readonly newestSeq: number;
  /** The point of this is the last one of the trail and stands for the present: it is replaced until its time is full. */
  readonly before: Totals | null;
}

export interface Seen {
  readonly atMs: number;
  readonly relay: RelayStatus;
  readonly sagas: SagaStatus | null;
}

const POINT_MS = 5_000;
const KEPT_MS = 15 * 60_000;
/** Nobody has looked for so long that what lies between is not known. */
const GAP_MS = 60_000;

/** Pure. */
export function extendTrail({ points, seen }: Trail, { atMs, relay, sagas }: Seen): Trail {
  const totals = {
    atMs,
    published: relay.subscriptions.reduce((sum, each) => sum + each.published, 0),
    newestSeq: relay.log.newestSeq ?? 0,
  };
  // The last point is that of now until its five seconds are full; then the next one begins.
  const full = seen === null || seen.before === null || seen.atMs - seen.before.atMs >= POINT_MS;
  const before = full ? seen : seen.before;
  const kept = points.slice(0, full ? undefined : -1).filter(({ at }) => at.getTime() > atMs - KEPT_MS);
  const point = {
    at: new Date(atMs),
    ...ratesBetween(before, totals),
    lag: relay.subscriptions.reduce((most, { behind }) => Math.max(most, behind), 0),
    oldestMs: relay.subscriptions.reduce((most, each) => Math.max(most, each.oldestUnpublishedAgeMs ?? 0), 0),
    parked: [...relay.subscriptions.map(({ parked }) => parked), ...relay.consumers].reduce(
      (sum, { failed, behind, dead }) => sum + failed + behind + dead,
      0,
    ),
    runs:
      sagas === null
        ? null
        : {
            due: sagas.due.reduce((sum, { runs }) => sum + runs, 0),
            stuck: sagas.stuck.reduce((sum, { runs }) => sum + runs, 0),
          },
  };
  return {
    points: [...kept, point],
    seen: { ...totals, before: before === null ? null : { ...before, before: null } },
  };
}

/** A counter that went back is another one: a subscription was dropped, or the tables are new. */
function ratesBetween(
  before: Totals | null,
  now: Omit<Totals, 'before'>,
): Pick<OverviewPoint, 'published' | 'written'> {
  const seconds = before === null ? 0 : (now.atMs - before.atMs) / 1_000;
  if (before === null || seconds <= 0 || seconds > GAP_MS / 1_000) return { published: null, written: null };
  const rate = (from: number, to: number): number | null => (to < from ? null : (to - from) / seconds);
  return {
    published: rate(before.published, now.published),
    written: rate(before.newestSeq, now.newestSeq),
  };
}
