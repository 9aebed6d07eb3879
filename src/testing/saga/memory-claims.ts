/**
 * Claims of runs, and looks for run messages, on the in-memory store.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { ClaimCapacity, ClaimedRun, RunMessage, SagaVersion, WorkerStore } from '../../saga/store/store.ts';
import { isRunOf, type MemoryLeases } from './memory-leases.ts';
import type { StoredRun } from './memory-rows.ts';
import type { MemoryTables } from './memory-tables.ts';

type Sleeper = StoredRun & { readonly wakeAt: number };

export class MemoryClaims {
  readonly #tables: MemoryTables;
  readonly #clock: Clock;
  readonly #leases: MemoryLeases;

  constructor(tables: MemoryTables, clock: Clock, leases: MemoryLeases) {
    this.#tables = tables;
    this.#clock = clock;
    this.#leases = leases;
  }

  async claim(
    workerId: string,
    wanted: readonly (SagaVersion & { readonly limit: number })[],
    room: ClaimCapacity | undefined,
  ): Promise<readonly ClaimedRun[]> {
    this.#leases.assert(workerId);
    const due = wanted
      .flatMap((of) => this.#sleepers(of).slice(0, of.limit))
      .filter((run) => run.wakeAt <= this.#clock.now())
      .toSorted((one, other) => one.wakeAt - other.wakeAt);
    return this.#claimFitting(workerId, due, room);
  }

  async collect(
    workerId: string,
    { sagas, limit, taken, room, runMessageBytes = Infinity, due = [] }: Parameters<WorkerStore['collect']>[1],
  ): ReturnType<WorkerStore['collect']> {
    this.#leases.assert(workerId);
    const seen = new Set(taken);
    const addressed = this.#tables.addressed
      .flatMap((id) => this.#tables.runs.get(id) ?? [])
      .filter((run) => sagas.some((of) => isRunOf(run, of)));
    const runMessages = addressed
      .filter((run) => run.worker === workerId)
      .flatMap((run) => this.#tables.runMessagesOf(run.id))
      .filter(({ id }) => !seen.has(id))
      .toSorted((one, other) => Number(one.id) - Number(other.id));
    const free = addressed.filter((run) => run.worker === null).slice(0, limit);
    const claimed = this.#claimFitting(workerId, free, room);
    const some = upTo(runMessageBytes, runMessages);
    const left = new Set(runMessages.slice(some.length).map(({ runId }) => runId));
    return { runMessages: some, claimed, unread: due.filter((id) => left.has(id)) };
  }

  nextDue(sagas: readonly SagaVersion[]): number | null {
    const times = sagas.flatMap((of) => this.#sleepers(of).slice(0, 1)).map((run) => run.wakeAt);
    return times.length === 0 ? null : Math.min(...times);
  }

  /** As many as there is room for in memory, and one at least. */
  #claimFitting(workerId: string, runs: readonly StoredRun[], room: ClaimCapacity | undefined): readonly ClaimedRun[] {
    let bytes = 0;
    const fitting = runs.filter(({ id }, index) => {
      for (const each of [...this.#tables.journalOf(id), ...this.#tables.runMessagesOf(id)]) bytes += each.bytes ?? 0;
      return index === 0 || bytes <= (room?.bytes ?? Infinity);
    });
    return fitting.map((run) => this.#claimOne(workerId, run));
  }

  #claimOne(workerId: string, run: StoredRun): ClaimedRun {
    const claimed: StoredRun = { ...run, worker: workerId, claims: run.claims + 1, wakeAt: null };
    this.#tables.atomically((writes) => writes.run(claimed));
    const { id, saga, version, status, reason, pivoted, claims, lost, deadlineAt, parent } = claimed;
    const [journal, runMessages] = [this.#tables.journalOf(id), this.#tables.runMessagesOf(id)];
    return { id, saga, version, status, reason, pivoted, claims, lost, deadlineAt, parent, journal, runMessages };
  }

  /** Runs that nobody holds and that have a time at which to be taken up, the earliest first. */
  #sleepers(of: SagaVersion): readonly Sleeper[] {
    return [...this.#tables.runs.values()]
      .filter((run) => run.worker === null && run.wakeAt !== null && isRunOf(run, of))
      .map((run) => ({ ...run, wakeAt: run.wakeAt ?? 0 }))
      .toSorted((one, other) => one.wakeAt - other.wakeAt);
  }
}

/** Of a list, in its order: those that begin within so many bytes. */
function upTo(most: number, runMessages: readonly RunMessage[]): readonly RunMessage[] {
  let before = 0;
  return runMessages.filter(({ bytes = 0 }) => (before += bytes) - bytes < most);
}
