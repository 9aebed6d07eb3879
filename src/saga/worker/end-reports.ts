/**
 * Tells of the ends of runs that a worker sees: the log, the metrics, and whoever waits for the result in this process.
 */
import type { Logger } from '../../runtime/log.ts';
import type { Counter, Metrics } from '../../runtime/metrics.ts';
import type { ResultWatch } from '../client/result-watch.ts';
import { logEnd } from '../decide/run-log.ts';
import { endError } from '../journal/end-error.ts';
import { valueOf } from '../journal/state.ts';
import type { Run } from '../run/run.ts';

export class EndReports {
  readonly #watch: ResultWatch;
  readonly #log: Logger;
  readonly #ended: Counter<'saga' | 'status'>;

  constructor(watch: ResultWatch, log: Logger, metrics: Metrics) {
    this.#watch = watch;
    this.#log = log;
    this.#ended = metrics.counter('holdfast_saga_runs_total', 'Runs that left a worker finished or stuck.', [
      'saga',
      'status',
    ]);
  }

  /** The run is over, and that is committed. */
  tell(run: Run): void {
    this.#ended.inc({ saga: run.saga.name, status: run.status });
    logEnd(this.#log, run);
    if (this.#watch.waitsFor(run.id)) this.#watch.tell(viewOfEnded(run));
    else this.#watch.note(run.id);
  }
}

function viewOfEnded(run: Run): Parameters<ResultWatch['tell']>[0] {
  const { state } = run;
  return {
    id: run.id,
    saga: run.saga.name,
    version: run.saga.version,
    key: null,
    status: run.status,
    reason: state.reason,
    pivoted: state.pivoted,
    result: valueOf(state.result),
    error: endError(state),
    skipped: state.skipped,
    refused: state.refused,
    startedAt: 0,
    finishedAt: run.status === 'stuck' ? null : run.rowAt,
    growth: run.growth,
  };
}
