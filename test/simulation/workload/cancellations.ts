/**
 * Runs that are cancelled at the very moment in which something is seen of them: an attempt of a call begins or ends, it has its effect, the
 * run is stuck.
 */
import type { MemorySagaStore } from '../../../src/testing/saga/memory-saga-store.ts';
import type { MemoryTables } from '../../../src/testing/saga/memory-tables.ts';
import { short } from '../invariants/short.ts';
import { Life, type Machine } from '../machine/process.ts';
import { cancelNow, type Moment, type PlannedRun, type ToldRun } from './clients.ts';
import type { LentSagas } from './lent-sagas.ts';
import type { Sagas } from './sagas.ts';

export interface CancellationsOptions {
  readonly machine: Machine;
  readonly store: MemorySagaStore;
  readonly tables: MemoryTables;
  readonly lent: LentSagas;
  readonly planned: readonly (PlannedRun & { readonly told: ToldRun })[];
}

/** Of a child, after its call has ended, in milliseconds. */
const CHILD_MS = 15;

export class Cancellations {
  readonly #options: CancellationsOptions;

  constructor(options: CancellationsOptions) {
    this.#options = options;
  }

  /** A run may be waiting for this to be cancelled. */
  moment({ runId, call }: { readonly runId: string; readonly call: string }, of: Moment['of']): void {
    const { planned, machine } = this.#options;
    if (of === 'ends') this.#child(runId);
    const run = planned.find(({ id, cancelOn }) => id === runId && cancelOn?.call === call && cancelOn.of === of);
    if (run === undefined || run.told.momentHasCome) return;
    run.told.momentHasCome = true;
    machine.scheduler.after(run.cancelOn?.delayMs ?? 0, null, () => this.#cancelPlanned(run, `${call} ${of}`));
  }

  whenStuck(runId: string): void {
    const run = this.#options.planned.find(({ id }) => id === runId);
    if (run === undefined) return;
    run.told.wasCancelledWhenStuck = true;
    this.#cancelPlanned(run, 'it is stuck');
  }

  /** A child may be cancelled by itself, although its parent waits for it. */
  #child(runId: string): void {
    const { tables, machine } = this.#options;
    const isChild = (tables.runs.get(runId)?.parent ?? null) !== null;
    if (!isChild || machine.choices.choose('a child is cancelled', [0.04]) === 0) return;
    machine.scheduler.after(CHILD_MS, null, () => void this.#cancel('part', runId));
  }

  #cancelPlanned({ id, saga, told }: PlannedRun & { readonly told: ToldRun }, when: string): void {
    this.#options.machine.trace.say(`${short(id)} is cancelled when ${when}`);
    void this.#cancel(saga, id).then((answer) => {
      if (told.cancelled !== 'compensating') told.cancelled = answer;
    });
  }

  #cancel(saga: keyof Sagas, id: string): Promise<ToldRun['cancelled']> {
    const { machine, store, lent } = this.#options;
    return cancelNow({ life: new Life(machine, 'canceller', 0, 1), store, lent }, saga, id);
  }
}
