/**
 * Unhandled rejections of a run's code or of a step: promises that were rejected while nothing awaited them. They are logged, and the process
 * and all other runs go on (runtime/scope.ts).
 */
import type { Run } from '../run/run.ts';
import type { CallState } from '../journal/state.ts';

/** It may be awaited yet; the flow fails with it otherwise. */
export function logRejectionOfRun(run: Run): (error: unknown) => void {
  return (error) =>
    run.settings.log?.warn(
      { err: error, run: run.id, saga: run.saga.name },
      'a branch of the code of a run failed while nothing awaits it; unless it is awaited later, the run fails with it: await branches together, with Promise.all',
    );
}

/** The step has its outcome all the same: nobody can say what the promise was for. */
export function logRejectionOfStep(run: Run, call: CallState, what: 'call' | 'compensation'): (error: unknown) => void {
  return (error) =>
    run.settings.log?.error(
      {
        err: error,
        run: run.id,
        saga: run.saga.name,
        call: call.id,
        of: what === 'compensation' ? 'compensation' : 'step',
      },
      'a promise that a step left behind was rejected, which counts for nothing: await it in the step',
    );
}
