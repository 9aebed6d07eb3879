/**
 * Runs that the store says this worker holds, and that are in nobody's memory: an answer was lost, or giving them back did not succeed.
 * Nobody else may take them up for as long as the worker lives, so it looks from time to time, and lets them go.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import type { WorkerStore } from '../store/store.ts';

export interface OrphanWatch {
  /**
   * To be called when no claim is under way. Resolves with how many runs were let go. Looks at the store only now and then.
   */
  look(): Promise<number>;
}

/** Between two looks, in milliseconds. */
const LOOK_EVERY_MS = 10_000;

export function createOrphanWatch(options: {
  readonly store: WorkerStore;
  readonly workerId: string;
  readonly isInMemory: (runId: string) => boolean;
  readonly clock: Clock;
  readonly log: Logger;
}): OrphanWatch {
  const { store, workerId, isInMemory, clock, log } = options;
  let nextLookAtMs = clock.monotonic() + LOOK_EVERY_MS;
  /** Missing at the look before as well: what is just leaving memory, or being given back, is so only for a moment. */
  let missing: ReadonlySet<string> = new Set();

  return {
    async look() {
      if (clock.monotonic() < nextLookAtMs) return 0;
      nextLookAtMs = clock.monotonic() + LOOK_EVERY_MS;
      const unknown = (await store.held(workerId)).filter((id) => !isInMemory(id));
      const orphans = unknown.filter((id) => missing.has(id));
      missing = new Set(unknown);
      if (orphans.length === 0) return 0;
      log.warn(
        { worker: workerId, runs: orphans.slice(0, 10), count: orphans.length },
        'runs were held by this worker and in the memory of none; they are let go',
      );
      await store.letGo(workerId, orphans, 0);
      return orphans.length;
    },
  };
}
