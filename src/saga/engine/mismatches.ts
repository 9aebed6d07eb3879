/**
 * Runs that do not fit the code of this worker: two workers have different code under one version, or a deployment is under way. Such a run
 * is handed back while another worker offers the same saga and version with other code. When none does, it is stuck, for a person.
 *
 * The code of a parent may also declare its child in another version than the one that was started. That fits as long as any worker
 * offers that one; when none does, the parent says so, and goes on by itself as soon as the child answers after all.
 *
 * What it was found not to fit is stored with the run, so that it is not taken up by the same code again and again, and so that it is
 * stuck in the end when no code there is fits.
 */
import type { Logger } from '../../runtime/log.ts';
import type { AnySaga } from '../definition/definition.ts';
import type { Mismatch } from '../run/run-events.ts';
import { hasOtherChild } from '../journal/call-contract.ts';
import type { Run } from '../run/run.ts';
import type { CallState } from '../journal/state.ts';
import type { WorkerStore } from '../store/store.ts';

export interface MismatchesOptions {
  readonly store: WorkerStore;
  readonly workerId: string;
  readonly codeOf: (saga: AnySaga) => string;
  readonly log: Logger;
  readonly now: () => number;
  readonly holds: (run: Run) => boolean;
  /** It is known what becomes of the run. */
  readonly onDecided: (run: Run) => void;
  /** Nobody could say just now. */
  readonly giveBack: (run: Run, error: unknown) => void;
}

export class Mismatches {
  readonly #options: MismatchesOptions;
  readonly #asked = new Set<Run>();

  constructor(options: MismatchesOptions) {
    this.#options = options;
  }

  /** Finds out about a run whose mismatch has not been decided. */
  decide(run: Run): void {
    if (run.mismatch === null || run.handedBack !== null || this.#asked.has(run)) return;
    this.#asked.add(run);
    this.#decide(run, run.mismatch)
      .catch((error: unknown) => {
        if (this.#options.holds(run)) this.#options.giveBack(run, error);
      })
      .finally(() => this.#asked.delete(run));
  }

  /** Of a run that goes forward and waits for children: says it when nobody goes on with one, and changes nothing. */
  remark(run: Run): void {
    for (const call of run.state.open)
      if (call.child !== null && hasOtherChild(call, run.step(call.step)))
        void this.#remarkChild(run, call, call.child);
  }

  async #remarkChild(run: Run, call: CallState, child: string): Promise<void> {
    const { store, log } = this.#options;
    // What cannot be asked is not said.
    if (await store.goesOn(child).catch(() => true)) return;
    log.warn(
      { run: run.id, saga: run.saga.name, call: call.id, child, version: call.version },
      'a run waits for a child of a version that no worker offers: keep that version in a worker until such children have ended',
    );
  }

  async #decide(run: Run, mismatch: Mismatch): Promise<void> {
    const { store, workerId, codeOf, log, now, holds, onDecided } = this.#options;
    if (mismatch.child !== undefined && (await store.goesOn(mismatch.child))) {
      if (!holds(run)) return;
      run.mismatch = null;
      if (mismatch.call !== null) run.lookedAfter.add(mismatch.call.id);
      return onDecided(run);
    }
    // Whoever has the parent, nobody has the child.
    const elsewhere = mismatch.child === undefined && (await store.offeredElsewhere(workerId, run.id));
    if (!holds(run)) return;
    if (elsewhere) {
      const { code, message } = mismatch.error;
      log.warn(
        { run: run.id, saga: run.saga.name, version: run.saga.version, why: mismatch.why, code, mismatch: message },
        'a run does not fit the code of this worker, and is left to another one that offers the same version with another code',
      );
      run.handedBack = codeOf(run.saga);
    } else {
      run.mismatch = null;
      run.recordStuck(mismatch, now());
    }
    onDecided(run);
  }
}
