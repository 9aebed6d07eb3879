/**
 * The workers of the in-memory store: their leases, and the runs that they hold.
 */
import { HoldfastError } from '../../errors.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { SagaVersion, WorkerStore } from '../../saga/store/store.ts';
import type { MemoryChanges } from './memory-changes.ts';
import { isFinished, type StoredRun } from './memory-rows.ts';
import type { MemoryTables } from './memory-tables.ts';

export class MemoryLeases {
  readonly #tables: MemoryTables;
  readonly #clock: Clock;
  readonly #changes: MemoryChanges;

  constructor(tables: MemoryTables, clock: Clock, changes: MemoryChanges) {
    this.#tables = tables;
    this.#clock = clock;
    this.#changes = changes;
  }

  async register({ id, name, sagas, leaseMs }: Parameters<WorkerStore['register']>[0]): Promise<number> {
    if (this.#tables.workers.has(id)) throw new Error(`There is a worker ${id} already.`);
    const leaseUntil = this.#clock.now() + leaseMs;
    this.#tables.atomically((writes) => writes.worker({ id, name, sagas: structuredClone(sagas), leaseUntil }));
    return this.#clock.now();
  }

  async renew(workerId: string, leaseMs: number): Promise<number> {
    this.assert(workerId);
    const worker = this.#tables.workers.get(workerId);
    if (worker !== undefined)
      this.#tables.atomically((writes) => writes.worker({ ...worker, leaseUntil: this.#clock.now() + leaseMs }));
    return this.#clock.now();
  }

  /** The fence: throws HF_LEASE_LOST when the lease is over. */
  assert(workerId: string): void {
    const worker = this.#tables.workers.get(workerId);
    if (worker !== undefined && worker.leaseUntil > this.#clock.now()) return;
    throw new HoldfastError('HF_LEASE_LOST', `The lease of worker ${workerId} is over.`, {
      advice: 'Its runs go on in another worker.',
    });
  }

  goesOn(runId: string): boolean {
    const run = this.#tables.runs.get(runId);
    if (run === undefined || run.finishedAt !== null) return true;
    const live = [...this.#tables.workers.values()].filter((worker) => worker.leaseUntil > this.#clock.now());
    return live.some(({ sagas }) => sagas.some((of) => isRunOf(run, of)));
  }

  takeOver(): { readonly workers: number; readonly runs: number } {
    const over = [...this.#tables.workers.values()].filter((worker) => worker.leaseUntil <= this.#clock.now());
    const runs = over.reduce((sum, worker) => sum + this.#free(worker.id, 1), 0);
    if (over.length > 0) this.#changes.tell();
    return { workers: over.length, runs };
  }

  retire(workerId: string, lost: boolean): void {
    if (!this.#tables.workers.has(workerId)) return;
    this.#free(workerId, lost ? 1 : 0);
    this.#changes.tell();
  }

  heldBy(workerId: string): readonly StoredRun[] {
    return [...this.#tables.runs.values()].filter((run) => run.worker === workerId);
  }

  letGo(workerId: string, runIds: readonly string[], delayMs: number): void {
    const wakeAt = this.#clock.now() + delayMs;
    this.#tables.atomically((writes) => {
      for (const run of runIds.flatMap((id) => this.#tables.runs.get(id) ?? []))
        if (run.worker === workerId)
          writes.run({ ...run, worker: null, wakeAt: isFinished(run.status) ? run.wakeAt : wakeAt });
    });
    this.#changes.tell();
  }

  /** Ends a worker. Its runs are due at once. */
  #free(workerId: string, lost: 0 | 1): number {
    const held = this.heldBy(workerId);
    const unfinished = held.filter((run) => !isFinished(run.status));
    this.#tables.atomically((writes) => {
      for (const run of held) writes.run({ ...run, worker: null });
      for (const run of unfinished)
        writes.run({ ...run, worker: null, lost: run.lost + lost, wakeAt: this.#clock.now() });
      writes.forgetWorker(workerId);
    });
    return unfinished.length;
  }
}

export function isRunOf(run: SagaVersion, of: SagaVersion): boolean {
  return run.saga === of.saga && run.version === of.version;
}
