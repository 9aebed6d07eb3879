/**
 * Runs that do not fit the code of this worker: two codes stand side by side under one version, or a deployment is under way. Such a run
 * is handed back while another worker offers the same saga and version with another code, and is stuck, for a person, when none does.
 * Used by the engine.
 *
 * What it was found not to fit is stored with the run, so that it is not taken up by the same code again and again, and so that it is
 * stuck in the end when no code there is fits.
 */
import type { Logger } from '../runtime/log.ts';
import type { AnySaga } from './definition.ts';
import type { Misfit } from './facts.ts';
import type { Run } from './run.ts';
import type { WorkerStore } from './store.ts';

export interface MisfitsOptions {
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

export class Misfits {
  readonly #options: MisfitsOptions;
  readonly #asked = new Set<Run>();

  constructor(options: MisfitsOptions) {
    this.#options = options;
  }

  /** Finds out about a run whose misfit has not been decided. */
  decide(run: Run): void {
    if (run.misfit === null || run.handedBack !== null || this.#asked.has(run)) return;
    this.#asked.add(run);
    this.#decide(run, run.misfit)
      .catch((error: unknown) => {
        if (this.#options.holds(run)) this.#options.giveBack(run, error);
      })
      .finally(() => this.#asked.delete(run));
  }

  async #decide(run: Run, misfit: Misfit): Promise<void> {
    const { store, workerId, codeOf, log, now, holds, onDecided } = this.#options;
    const elsewhere = await store.offeredElsewhere(workerId, run.id);
    if (!holds(run)) return;
    if (elsewhere) {
      const { code, message } = misfit.error;
      log.warn(
        { run: run.id, saga: run.saga.name, version: run.saga.version, why: misfit.why, code, misfit: message },
        'a run does not fit the code of this worker, and is left to another one that offers the same version with another code',
      );
      run.handedBack = codeOf(run.saga);
    } else {
      run.misfit = null;
      run.recordStuck(misfit.why, misfit.call, misfit.error, now());
    }
    onDecided(run);
  }
}
