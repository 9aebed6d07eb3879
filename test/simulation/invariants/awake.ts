/**
 * I17: no run stands still in silence. As long as it has not ended and waits for no person, somebody holds it, or it is due at some time,
 * or a message waits to be taken in; or that is true of one of its family that it waits for.
 */
import type { StoredRun } from '../../../src/testing/saga/memory-rows.ts';
import type { MemoryTables } from '../../../src/testing/saga/memory-tables.ts';

/** Runs that nobody and nothing would ever wake. */
export function forgottenRuns(tables: MemoryTables): readonly string[] {
  const asleep = [...tables.runs.values()].filter((run) => !isAwake(run, tables));
  return asleep.filter((run) => !familyOf(run, tables).some((each) => isAwake(each, tables))).map(({ id }) => id);
}

/** Or has no need to be. */
function isAwake(run: StoredRun, tables: MemoryTables): boolean {
  const { id, status, worker, wakeAt } = run;
  if (hasEnded(run) || status === 'stuck') return true;
  if (worker !== null) return tables.workers.has(worker);
  return wakeAt !== null || tables.runMessagesOf(id).length > 0;
}

/** Of which it may be told something; of a child also what its parent waits for beside it. */
function familyOf(run: StoredRun, tables: MemoryTables): readonly StoredRun[] {
  const family = new Set([run]);
  for (const each of family)
    for (const other of tables.runs.values())
      if ((other.id === each.parent?.id || other.parent?.id === each.id) && mayTell(other, tables)) family.add(other);
  return [...family];
}

/** One that has ended may still be told something by a child that it has left alone, and answers that. */
function mayTell(run: StoredRun, tables: MemoryTables): boolean {
  return !hasEnded(run) || run.worker !== null || tables.runMessagesOf(run.id).length > 0;
}

function hasEnded({ status }: StoredRun): boolean {
  return status === 'completed' || status === 'compensated';
}
