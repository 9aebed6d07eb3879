/** As on-demand.ts: the operations on runs of sagas. */
import type { Act } from '../postgres/audit.ts';
import type { Database } from '../postgres/database.ts';
import type { BulkPlan, RunSelection } from './jobs/run-selection.ts';
import type { BulkAct, BulkOptions, BulkResult } from './jobs/saga-bulk.ts';
import type { RestartedRun, RestartOptions } from './sagas/restart-run.ts';
import type { Accepted, ReasonedAct, Resolution, SignalRequest } from './sagas/saga-interventions.ts';
import type { RunDetails, RunFilter, RunSummary } from './sagas/sagas.ts';
import type { RunPage, RunSearch } from './sagas/search-runs.ts';

/**
 * The id of the run that an id or a key names. A key that looks like an id finds its run when no run has that id.
 *
 * @throws HoldfastError HF_NOT_FOUND, HF_CONFIG when runs of several sagas have the key and `saga` does not choose
 * @example
 * const id = await findRunId(database, 'o-1', 'place-order');
 */
export async function findRunId(database: Database, idOrKey: string, saga?: string): Promise<string> {
  return (await import('./sagas/find-run.ts')).findRunId(database, idOrKey, saga);
}

/**
 * Runs of sagas, the newest first. Reads on until the list is full or there are no more, however long that takes: {@link searchRuns} gives
 * pages in time.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN
 * @example
 * for (const { id, error } of await listRuns(database, { saga: 'place-order', stuck: true })) console.log(id, error?.message);
 */
export async function listRuns(database: Database, filter?: RunFilter): Promise<readonly RunSummary[]> {
  return (await import('./sagas/sagas.ts')).listRuns(database, filter);
}

/**
 * A page of the runs that fit, newest first. It comes in time whatever there is: what no index serves is looked through for `lookFor`, and
 * the page says how far it looked.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION, HF_READ_TIMEOUT
 * @example
 * const { runs, older } = await searchRuns(database, { saga: 'place-order', input: { customer: 'c-7' } });
 * for (const { id, status, key } of runs) console.log(id, status, key);
 * if (older !== null) console.log('further:', older);
 */
export async function searchRuns(database: Database, search?: RunSearch): Promise<RunPage> {
  return (await import('./sagas/search-runs.ts')).searchRuns(database, search);
}

/**
 * Everything known about one run: its state, its journal, its children, and what no worker has taken in yet.
 *
 * @throws HoldfastError HF_NOT_FOUND, HF_CONFIG for what is no id
 * @example
 * const { run, journal } = await showRun(database, await findRunId(database, 'o-1'));
 * console.log(run.status, journal.length);
 */
export async function showRun(database: Database, id: string): Promise<RunDetails> {
  return (await import('./sagas/sagas.ts')).showRun(database, id);
}

/**
 * Has a stuck run tried again where it stopped, with all its attempts anew.
 *
 * @throws HoldfastError HF_NOT_FOUND, HF_SAGA_NOT_STUCK
 * @example
 * await retryRun(database, await findRunId(database, 'o-1'), { actor: 'ada', reason: 'the bank is back' });
 */
export async function retryRun(database: Database, id: string, act: Act): Promise<Accepted> {
  return (await import('./sagas/saga-interventions.ts')).retryRun(database, id, act);
}

/**
 * Has the compensation that a run is stuck at left out: what the call did stays. `call`: null for whatever it is stuck at. The reason is
 * required.
 *
 * @throws HoldfastError HF_NOT_FOUND, HF_SAGA_NOT_STUCK also when it is stuck elsewhere, HF_CONFIG without a reason
 * @example
 * await skipCall(database, await findRunId(database, 'o-1'), null, { actor: 'ada', reason: 'the hotel waived its fee' });
 */
export async function skipCall(
  database: Database,
  id: string,
  call: string | null,
  act: ReasonedAct,
): Promise<Accepted> {
  return (await import('./sagas/saga-interventions.ts')).skipCall(database, id, call, act);
}

/**
 * Settles by hand what a run is stuck at. The reason is required.
 *
 * @throws HoldfastError HF_NOT_FOUND, HF_SAGA_NOT_STUCK also when it is stuck elsewhere, HF_PAYLOAD_NOT_JSON, HF_CONFIG without a reason and
 * for what makes no sense there
 * @example
 * const id = await findRunId(database, 'o-1');
 * await resolveCall(database, id, { call: null, as: 'not done' }, { actor: 'ada', reason: 'the bank has no such payment' });
 */
export async function resolveCall(
  database: Database,
  id: string,
  resolution: Resolution,
  act: ReasonedAct,
): Promise<Accepted> {
  return (await import('./sagas/saga-interventions.ts')).resolveCall(database, id, resolution, act);
}

/**
 * Has a run compensated. One that is being compensated already is left as it is.
 *
 * @throws HoldfastError HF_NOT_FOUND, HF_SAGA_FINISHED, HF_SAGA_PIVOTED
 * @example
 * const { undecided } = await cancelRun(database, await findRunId(database, 'o-1'), { actor: 'ada' });
 * if (undecided === true) console.log('its pivot is under way: this may come too late');
 */
export async function cancelRun(database: Database, id: string, act: Act): Promise<Accepted> {
  return (await import('./sagas/saga-interventions.ts')).cancelRun(database, id, act);
}

/**
 * Sends a signal to a run. Without the saga's definition it goes unchecked.
 *
 * @throws HoldfastError HF_NOT_FOUND, HF_SAGA_FINISHED, HF_SAGA_UNDONE, HF_SIGNAL_UNKNOWN, HF_PAYLOAD_INVALID, HF_PAYLOAD_NOT_JSON
 * @example
 * const id = await findRunId(database, 'e-7', 'approve-expense');
 * await signalRun(database, id, { name: 'approved', payload: { by: 'ada' } }, { actor: 'ada' });
 */
export async function signalRun(database: Database, id: string, signal: SignalRequest, act: Act): Promise<Accepted> {
  return (await import('./sagas/saga-interventions.ts')).signalRun(database, id, signal, act);
}

/**
 * Starts a run that has ended once more: a new run of the same saga, with the same input or another one. Whatever the old run did and did not
 * compensate is done again. The old run stays as it ended, but for its key, which goes to the new one. Of one run it can be done once; of the
 * new one again, when it has ended. The reason is required.
 *
 * @throws HoldfastError HF_NOT_FOUND, HF_SAGA_NOT_ENDED, HF_SAGA_RESTARTED, HF_PAYLOAD_INVALID, HF_PAYLOAD_NOT_JSON, HF_PAYLOAD_TEXT,
 * HF_PAYLOAD_TOO_LARGE, HF_OPTION_UNKNOWN, HF_CONFIG for a child, without a reason, and for a version that nobody has
 * @example
 * const ended = await findRunId(database, 'o-1');
 * const { id } = await restartRun(database, ended, { version: 'newest' }, { actor: 'ada', reason: 'the address is mended' });
 */
export async function restartRun(
  database: Database,
  id: string,
  options: RestartOptions,
  act: ReasonedAct,
): Promise<RestartedRun> {
  return (await import('./sagas/restart-run.ts')).restartRun(database, id, options, act);
}

/**
 * What {@link actOnRuns} would meet now. Changes nothing.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN for a selection that cannot be used
 * @example
 * const { runs, groups } = await planBulk(database, { kind: 'retry' }, { saga: 'place-order' });
 * console.log(runs, groups);
 */
export async function planBulk(database: Database, act: BulkAct, selection: RunSelection): Promise<BulkPlan> {
  return (await import('./jobs/saga-bulk.ts')).planBulk(database, act, selection);
}

/**
 * Acts on each run that matches, oldest first, each once: on those that match when it comes to them and were there when it began.
 * What is refused for its state (it went on, it ended) is passed over; what fails otherwise is counted. It is a job, started and worked off in
 * one call: {@link showJob} tells of it.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN for a selection that cannot be used
 * @example
 * const { done, passedOver } = await actOnRuns(
 *   database,
 *   { kind: 'retry' },
 *   { saga: 'place-order', error: 'HF_HANDLER_TIMEOUT' },
 *   { actor: 'ada', reason: 'the bank is back' },
 * );
 */
export async function actOnRuns(
  database: Database,
  act: BulkAct,
  selection: RunSelection,
  by: ReasonedAct & BulkOptions,
): Promise<BulkResult> {
  return (await import('./jobs/saga-bulk.ts')).actOnRuns(database, act, selection, by);
}
