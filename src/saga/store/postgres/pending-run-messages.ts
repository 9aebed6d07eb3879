/**
 * What a look at the run messages brings, sorted by whom it is for.
 */
import type { RunMessage, RunMessageBody } from '../store.ts';

/** Run messages looked at in one call, for each version. */
export const RUN_MESSAGE_PAGE = 1_000;

export interface PendingRunMessageRow {
  readonly id: string;
  readonly saga_id: string;
  readonly held: boolean;
  /** Null: for a run that nobody holds, or beyond what may be loaded. */
  readonly body: RunMessageBody | null;
  readonly bytes: number;
  readonly at: number;
  /** Found because a timer of its run is due; it may have been found among the rest as well. */
  readonly due: boolean;
}

/** What is for runs of the worker, the runs of others that have some, and the runs of which not all is here. */
export function sortRunMessages(
  pending: readonly PendingRunMessageRow[],
  limit: number,
  due: readonly string[],
): {
  readonly runMessages: readonly RunMessage[];
  readonly ids: ReadonlySet<string>;
  readonly unread: readonly string[];
} {
  const runMessages = new Map<string, RunMessage>();
  const ids = new Set<string>();
  const unread = new Set<string>();
  let found = 0;
  for (const { id, saga_id: runId, held, body, bytes, at, due: isDue } of pending) {
    if (isDue) found += 1;
    if (body !== null) runMessages.set(id, { id, runId, at, body, bytes });
    else if (held) unread.add(runId);
    else if (ids.size < limit) ids.add(runId);
  }
  return {
    // By the order in which it came, which is that of the ids for each run.
    runMessages: [...runMessages.values()].toSorted((one, other) => Number(BigInt(one.id) - BigInt(other.id))),
    ids,
    unread: found > RUN_MESSAGE_PAGE ? due : [...unread],
  };
}
