/**
 * When a consumer first ran. What an ordered consumer's queue held before may have been handled by somebody else.
 */
import type { UnitOfWork } from '../handlers/unit-of-work.ts';
import type { SuspectStore } from './suspect-store.ts';

/** Resolves with milliseconds since the epoch. The database is asked once; a failure is not remembered. */
export function createFirstRun<Tx>(
  work: UnitOfWork<Tx>,
  store: Pick<SuspectStore, 'firstRunAt'>,
): () => Promise<number> {
  let asked: Promise<number> | null = null;
  return () => {
    asked ??= work
      .transaction((execute) => store.firstRunAt(execute))
      .then((at) => at.getTime())
      .catch((error: unknown) => {
        asked = null;
        throw error;
      });
    return asked;
  };
}
