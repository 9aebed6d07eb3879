/**
 * Log lines about runs, with the ids to find the run by, once for each thing that happened: a step gave up, nobody can say what became of
 * it, a run is stuck or was compensated.
 */
import type { Logger } from '../../runtime/log.ts';
import type { RecordedError } from '../journal/events.ts';
import { asThrown } from '../journal/recorded-error.ts';
import type { Run } from '../run/run.ts';
import { traceIdsOfRun } from '../run/run-span.ts';
import type { CallState } from '../journal/state.ts';

export function logGivenUp(
  run: Run,
  call: CallState,
  failure: {
    readonly error: RecordedError;
    readonly fallback: RecordedError | undefined;
    readonly attempts: number;
    readonly outcome: 'definite' | 'unknown';
  },
): void {
  const { error, fallback, ...rest } = failure;
  const fields = { run: run.id, saga: run.saga.name, call: call.id, ...rest, ...traceIdsOfRun(run) };
  const standIn = fallback === undefined ? {} : { fallback: asThrown(fallback) };
  run.settings.log?.warn({ ...fields, ...standIn, err: asThrown(error) }, 'a step gave up');
}

/** Each time: nothing of it stands in the journal, and the run waits for the answer. `againMs`: until it is asked again, if it is. */
export function logUnverified(run: Run, call: CallState, error: RecordedError, againMs: number | null): void {
  const fields = { run: run.id, saga: run.saga.name, call: call.id, attempts: call.asked.attempts };
  run.settings.log?.warn(
    { ...fields, ...(againMs === null ? {} : { againMs }), ...traceIdsOfRun(run), err: asThrown(error) },
    againMs === null ? 'verify could not say what became of a step' : 'verify failed, and is asked again',
  );
}

/**
 * A step that ignored its abort signal is done after all. Its recorded outcome stays: nobody knows whether its compensation came before or
 * after its effect, and a second compensation could be one too many. A command is compensated once more, because its participant knows.
 */
export function logLate(run: Run, call: CallState, what: 'call' | 'compensation'): void {
  const compensated = call.compensation === null ? 'no' : call.compensation.state === 'open' ? 'under way' : 'yes';
  run.settings.log?.warn(
    {
      run: run.id,
      saga: run.saga.name,
      call: call.id,
      of: what === 'compensation' ? 'compensation' : 'step',
      compensated,
      ...traceIdsOfRun(run),
    },
    'what had been given up was done after all, deaf to its signal; this changes nothing: if it was compensated before, look whether its effect still stands, and pass the signal on',
  );
}

/** Once the end of a run is stored. Runs that went well are not logged. */
export function logEnd(log: Logger, run: Run): void {
  const { state, id, status } = run;
  const fields = { run: id, saga: run.saga.name, version: run.saga.version, ...traceIdsOfRun(run) };
  if (status === 'stuck' && state.stuck !== null && run.stuckNow) {
    const { why, call, error } = state.stuck;
    log.error(
      { ...fields, why, ...(call === null ? {} : { call }), err: asThrown(error) },
      'a run is stuck and needs a person',
    );
  } else if (status === 'compensated' && run.loadedAs !== status) {
    const err = state.error === null ? {} : { err: asThrown(state.error) };
    if (state.reason === 'cancelled') log.info({ ...fields, reason: state.reason, ...err }, 'a run was compensated');
    else log.warn({ ...fields, reason: state.reason, ...err }, 'a run was compensated');
  }
}
