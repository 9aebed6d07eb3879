/**
 * What the in-memory store of sagas keeps: runs, journals, run messages, workers, messages, as the tables of migrations/0003_saga.sql.
 * Values are kept as JSON text and parsed anew for every reader, so that nobody holds what is stored.
 */
import type { JournalEvent, JournalRow } from '../../saga/journal/events.ts';
import type { RunMessage, RunMessageBody } from '../../saga/store/store.ts';
import type { StoredRun, StoredWorker } from './memory-rows.ts';
import { keyOf, MemoryWrites, type Letter, type StoredRow } from './memory-writes.ts';

export interface MemoryTables {
  readonly runs: ReadonlyMap<string, StoredRun>;
  readonly workers: ReadonlyMap<string, StoredWorker>;
  /** The id of the run with this saga and key. */
  runWithKey(saga: string, key: string): string | undefined;
  journalOf(runId: string): readonly JournalRow[];
  /** Oldest first. */
  runMessagesOf(runId: string): readonly RunMessage[];
  /** Ids of the runs that have messages; whose messages are the oldest come first. */
  readonly addressed: readonly string[];
  /** All of `change`, or, when it throws, nothing of it. */
  atomically<T>(change: (write: MemoryWrites) => T): T;
}

export function createMemoryTables(): MemoryTables {
  const runs = new Map<string, StoredRun>();
  const workers = new Map<string, StoredWorker>();
  const keys = new Map<string, string>();
  const journals = new Map<string, Map<number, StoredRow>>();
  const runMessages = new Map<string, Map<number, Letter>>();
  const writes = new MemoryWrites({ runs, workers, keys, journals, runMessages });

  return {
    runs,
    workers,
    runWithKey: (saga, key) => keys.get(keyOf(saga, key)),
    journalOf: (runId) =>
      [...(journals.get(runId) ?? [])]
        .toSorted(([one], [other]) => one - other)
        .map(([n, row]) => ({
          n,
          at: row.at,
          events: JSON.parse(row.events) as readonly JournalEvent[],
          bytes: row.events.length,
        })),
    runMessagesOf: (runId) =>
      [...(runMessages.get(runId) ?? [])]
        .toSorted(([one], [other]) => one - other)
        .map(([id, { at, body }]) => ({
          id: String(id),
          runId,
          at,
          body: JSON.parse(body) as RunMessageBody,
          bytes: body.length,
        })),
    get addressed() {
      const oldest = (box: ReadonlyMap<number, Letter>): number => Math.min(...box.keys());
      return [...runMessages].toSorted(([, one], [, other]) => oldest(one) - oldest(other)).map(([runId]) => runId);
    },
    atomically(change) {
      writes.begin();
      try {
        return change(writes);
      } catch (error) {
        writes.revert();
        throw error;
      }
    },
  };
}
