/**
 * That a run is to be compensated: at once, or, while a pivot is under way, when it is known whether that happened. From there on its code
 * is not run; what is under way is aborted and waited for.
 */
import { wasBegun, canBeInDoubt, isAnswered } from '../kinds/table.ts';
import type { RecordedError } from '../journal/events.ts';
import { recordError } from '../journal/recorded-error.ts';
import type { RefusedAct } from '../journal/refused.ts';
import type { CallState } from '../journal/state.ts';
import type { AttemptResult, DecisionContext, CompensationRequest } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import type { RunMessageBody } from '../store/store.ts';
import { compensationId } from './compensation-id.ts';
import { lostItsWorker, mayHaveBegun } from './lost-attempts.ts';
import { refuse } from './refusal.ts';

/** Why attempts of a run that is being compensated are aborted. */
export class BeingCompensated extends Error {
  override readonly name = 'BeingCompensated';
}

/** Compensates the run, now or, while a pivot is in flight, once it is known whether it happened. */
export function requestCompensation(
  run: Run,
  pendingCompensation: CompensationRequest,
  context: DecisionContext,
): void {
  if (run.state.phase !== 'forward') {
    if (pendingCompensation.runMessage !== null) run.takeIn(pendingCompensation.runMessage);
    return;
  }
  if (run.pendingCompensation !== null) {
    // Each of them is answered once that is known.
    run.pendingCompensation = { ...pendingCompensation, before: run.pendingCompensation };
    return;
  }
  if (run.state.open.some((call) => call.pivot && mayBeHappening(run, call)))
    run.pendingCompensation = pendingCompensation;
  else turnBack(run, pendingCompensation, context);
}

/** Whether nobody can say just now that the call has not happened, and will not. */
function mayBeHappening(run: Run, call: CallState): boolean {
  if (run.inFlight.has(call.id) || isAnswered(call)) return true;
  // Its end is not taken in yet, or it was under way when a worker was lost.
  if (hasEnded(run, call)) return true;
  // It may have been, beside what the run was stuck at, and nothing says so yet: that is accounted for when its code is run again.
  if (canBeInDoubt(call) && lostItsWorker(run) && mayHaveBegun(call)) return true;
  if (isPivotInDoubt(run) && run.state.stuck?.call === call.id) return true;
  return wasBegun(call) || run.inFlight.has(compensationId(call));
}

/** Whether a person is asked if the pivot has happened: until that is known, nobody can say whether the run may be compensated. */
export function isPivotInDoubt({ state }: Run): boolean {
  if (state.stuck?.why !== 'code' || state.stuck.call === null) return state.stuck?.why === 'in doubt';
  const call = state.calls.get(state.stuck.call);
  return call?.pivot === true && canBeInDoubt(call);
}

/** Whether a run event that says how an attempt of the call ended waits to be taken in. */
export function hasEnded(run: Run, call: CallState): boolean {
  return run.runEvents.some(
    (each) => (each.kind === 'attempt' || each.kind === 'fallback' || each.kind === 'sent') && each.call === call,
  );
}

/** The pivot that a request to compensate has waited for has ended: done, and nothing is compensated; or not, and everything is. */
export function grantCompensation(run: Run, context: DecisionContext): void {
  const { pendingCompensation } = run;
  if (pendingCompensation === null) return;
  run.pendingCompensation = null;
  if (!run.state.pivoted) return turnBack(run, pendingCompensation, context);
  let failure: RecordedError | null = null;
  for (const each of pendingCompensationsOf(pendingCompensation)) {
    if (each.runMessage !== null) run.takeIn(each.runMessage);
    if (each.runMessage?.body.kind === 'undo') {
      if (run.parent !== null) run.post(run.parent.id, { kind: 'child', call: run.parent.call, outcome: 'refused' });
    } else if (each.reason === 'failed') failure = each.error ?? { name: 'Error', message: 'The run failed.' };
    else if (each.runMessage?.body.kind === 'cancel') refuse(run, cancelOf(each.runMessage.body), context);
    else refuse(run, { what: 'deadline' }, context);
  }
  if (failure !== null) run.recordStuck({ why: 'forward', call: null, error: failure }, context.now);
}

/** A request to compensate and those that wait with it, oldest first. */
export function pendingCompensationsOf(last: CompensationRequest | null): readonly CompensationRequest[] {
  const pendingCompensations: CompensationRequest[] = [];
  for (
    let pendingCompensation = last;
    pendingCompensation !== null;
    pendingCompensation = pendingCompensation.before ?? null
  )
    pendingCompensations.unshift(pendingCompensation);
  return pendingCompensations;
}

/** A cancellation, as it is recorded when it comes too late. */
export function cancelOf({ reason, actor }: Extract<RunMessageBody, { kind: 'cancel' }>): RefusedAct {
  return {
    what: 'cancel',
    ...(reason === undefined ? {} : { reason }),
    ...(actor === undefined ? {} : { actor }),
  };
}

function turnBack(run: Run, pendingCompensation: CompensationRequest, context: DecisionContext): void {
  const pendingCompensations = pendingCompensationsOf(pendingCompensation);
  for (const { runMessage } of pendingCompensations) if (runMessage !== null) run.takeIn(runMessage);
  // The first one is the reason, unless a parent waits for an answer.
  const { reason, error, actor } =
    pendingCompensations.find(({ runMessage }) => runMessage?.body.kind === 'undo') ??
    pendingCompensations[0] ??
    pendingCompensation;
  // A child that was done and held, or a run that was stuck on its way forward, is taken back like any other.
  run.record(
    { t: 'undoing', reason, ...(error === undefined ? {} : { error }), ...(actor === undefined ? {} : { actor }) },
    context.now,
  );
  run.flow = null;
  run.ending = null;
  // What has not begun will not begin, though the commit that was to be before it is under way.
  const intended = run.intents.flatMap((intent) => (intent.kind === 'attempt' ? [intent.call] : []));
  const unbegun = new Set([...intended, ...run.state.open.filter((call) => call.unbegun)]);
  // A compensation that is recorded goes on: of a run that was about to complete.
  run.intents = run.intents.filter((intent) => intent.kind === 'compensate');
  for (const call of unbegun) {
    if (wasBegun(call) || call.attempts > 0) continue;
    endCall(
      run,
      call,
      { error: recordError(new BeingCompensated('The run was compensated before this began.')), doubt: false },
      context,
    );
  }
  for (const abort of run.inFlight.values()) abort(new BeingCompensated('The run is being compensated.'));
}

/** How an attempt ended that was under way when the compensation began. */
export function attemptEndedLate(run: Run, call: CallState, result: AttemptResult, context: DecisionContext): void {
  if (call.outcome !== 'open') return;
  if (result.kind === 'done') run.recordDone(call, result.output, context.now);
  else endCall(run, call, { error: result.error, doubt: result.doubt || wasBegun(call) }, context);
}

/** What was begun and has no outcome is in doubt, or has not happened. */
export function endCall(
  run: Run,
  call: CallState,
  failure: { error: RecordedError; doubt: boolean },
  context: DecisionContext,
): void {
  const outcome = failure.doubt ? 'unknown' : 'definite';
  run.record({ t: 'failed', call: call.id, attempts: call.attempts + 1, error: failure.error, outcome }, context.now);
}
