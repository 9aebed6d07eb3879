/**
 * Retention of runs, in the worker: rounds that delete what ended long enough ago, whatever comes of it. Several workers of one database
 * share the work: what one has in hand the others pass over.
 */
import type { Database } from '../../postgres/database.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Loop } from '../../runtime/loop.ts';
import { createPacedRounds, roundsFor, type RoundBounds } from '../../runtime/paced.ts';
import { pruneSagas, SAGA_PRUNE_CHUNK } from '../store/postgres/prune-sagas.ts';

/** Between two rounds when there is little to do, in milliseconds. */
const PRUNE_EVERY_MS = 600_000;
const AFTER_ERROR_MS = 60_000;

/** How far rounds may lie apart. Pure. */
export function sagaPruneRounds(retentionMs: number): RoundBounds {
  return roundsFor(retentionMs, { mostMs: PRUNE_EVERY_MS, enough: 4 * SAGA_PRUNE_CHUNK });
}

export function createSagaPruneLoop({
  database,
  clock,
  log,
  retentionMs,
}: {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly retentionMs: number;
}): Loop {
  return createPacedRounds({
    name: 'worker.prune',
    clock,
    log,
    bounds: sagaPruneRounds(retentionMs),
    async round(signal) {
      const pruned = await pruneSagas(database, { olderThanMs: retentionMs, signal, clock });
      if (pruned > 0) log.info({ pruned }, 'finished runs pruned');
      return pruned;
    },
    onError: () => AFTER_ERROR_MS,
  });
}
