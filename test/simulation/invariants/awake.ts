/**
 * I17: no run stands still in silence. As long as it has not ended and waits for no person, somebody holds it, or it is due at some time,
 * or a message waits to be taken in; or that is true of the parent or a child that it waits for.
 */
import type { StoredRun } from '../../../src/testing/saga/memory-rows.ts';
import type { MemoryTables } from '../../../src/testing/saga/memory-tables.ts';

/** Runs that nobody and nothing would ever wake. */
export function forgottenRuns(tables: MemoryTables): readonly string[] {
  const asleep = [...tables.runs.values()].filter((run) => !isAwake(run, tables));
  return asleep.filter((run) => !familyOf(run, tables).some((each) => isAwake(each, tables))).map(({ id }) => id);
}

/** Or has no need to be. */
function isAwake({ id, status, worker, wakeAt }: StoredRun, tables: MemoryTables): boolean {
  if (status === 'completed' || status === 'compensated' || status === 'stuck') return true;
  if (worker !== null) return tables.workers.has(worker);
  return wakeAt !== null || tables.runMessagesOf(id).length > 0;
}

/** Of which it may be told something: those that have not ended. */
function familyOf({ id, parent }: StoredRun, tables: MemoryTables): readonly StoredRun[] {
  return [...tables.runs.values()].filter(
    (other) =>
      (other.id === parent?.id || other.parent?.id === id) &&
      other.status !== 'completed' &&
      other.status !== 'compensated',
  );
}
