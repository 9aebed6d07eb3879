/**
 * The way back: a run that is compensated is driven by its journal and its declared steps alone. Also the end of a run that completes:
 * what it was told had failed, and yet may have happened, is compensated first.
 */
import { decideFailed, KILLS_WORKERS } from '../journal/budget.ts';
import { prepareCompensation } from '../protocol/commands.ts';
import type { RecordedError } from '../journal/events.ts';
import { recordError } from '../journal/recorded-error.ts';
import { refuse } from './too-late.ts';
import type { AttemptResult, DecisionContext, PendingCompensation } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import { hasOtherChild } from '../journal/promises.ts';
import type { CallState } from '../journal/state.ts';
import type { RefusedAct } from '../journal/refused.ts';
import type { RunMessageBody } from '../store/store.ts';
import { isAnythingAbandoned, nextCompensation, wasBegun } from '../journal/compensation.ts';

/** Why attempts of a run that is being compensated are aborted. */
export class BeingCompensated extends Error {
  override readonly name = 'BeingCompensated';
}

/** Compensates the run, now or, while a pivot is in flight, once it is known whether it happened. */
export function requestCompensation(
  run: Run,
  pendingCompensation: PendingCompensation,
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
  else beginCompensation(run, pendingCompensation, context);
}

/** Whether nobody can say just now that the call has not happened, and will not. */
function mayBeHappening(run: Run, call: CallState): boolean {
  if (run.inFlight.has(call.id) || call.kind === 'command' || call.kind === 'child') return true;
  // It was under way when a worker was lost.
  if (hasEnded(run, call)) return true;
  if (isPivotAskedAfter(run) && run.state.stuck?.call === call.id) return true;
  return wasBegun(call) || run.inFlight.has(compensationId(call));
}

/** Whether a person is asked if the pivot has happened: until that is known, nobody can say whether the run may be compensated. */
export function isPivotAskedAfter({ state }: Run): boolean {
  if (state.stuck?.why !== 'code' || state.stuck.call === null) return state.stuck?.why === 'in doubt';
  const call = state.calls.get(state.stuck.call);
  return call?.pivot === true && call.kind === 'step';
}

/** Whether it is among what has happened and has not been taken in how an attempt of the call ended. */
export function hasEnded(run: Run, call: CallState): boolean {
  return run.runEvents.some(
    (runEvent) => (runEvent.kind === 'attempt' || runEvent.kind === 'fallback') && runEvent.call === call,
  );
}

/** The pivot that a request to compensate has waited for has ended: done, and nothing is compensated; or not, and everything is. */
export function grantCompensation(run: Run, context: DecisionContext): void {
  const { pendingCompensation } = run;
  if (pendingCompensation === null) return;
  run.pendingCompensation = null;
  if (!run.state.pivoted) return beginCompensation(run, pendingCompensation, context);
  let failure: RecordedError | null = null;
  for (const each of pendingCompensationsOf(pendingCompensation)) {
    if (each.runMessage !== null) run.takeIn(each.runMessage);
    if (each.runMessage?.body.kind === 'undo') {
      if (run.parent !== null) run.post(run.parent.id, { kind: 'child', call: run.parent.call, outcome: 'refused' });
    } else if (each.reason === 'failed') failure = each.error ?? { name: 'Error', message: 'The run failed.' };
    else if (each.runMessage?.body.kind === 'cancel') refuse(run, cancelOf(each.runMessage.body), context);
    else refuse(run, { what: 'deadline' }, context);
  }
  if (failure !== null) run.recordStuck('forward', null, failure, context.now);
}

/** A request to compensate and those that wait with it, oldest first. */
export function pendingCompensationsOf(last: PendingCompensation | null): readonly PendingCompensation[] {
  const pendingCompensations: PendingCompensation[] = [];
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

function beginCompensation(run: Run, pendingCompensation: PendingCompensation, context: DecisionContext): void {
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
  // What has not begun will not begin.
  const unbegun = new Set(run.effects.flatMap((effect) => (effect.kind === 'attempt' ? [effect.call] : [])));
  // A compensation that is recorded goes on: of a run that was about to complete.
  run.effects = run.effects.filter((effect) => effect.kind === 'compensate');
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
export function siblingEnded(run: Run, call: CallState, result: AttemptResult, context: DecisionContext): void {
  if (call.outcome !== 'open' || call.kind === 'wait') return;
  if (result.kind === 'done') run.recordDone(call, result.output, context.now);
  else endCall(run, call, { error: result.error, doubt: result.doubt || wasBegun(call) }, context);
}

function endCall(
  run: Run,
  call: CallState,
  failure: { error: RecordedError; doubt: boolean },
  context: DecisionContext,
): void {
  const outcome = failure.doubt ? 'unknown' : 'definite';
  run.record({ t: 'failed', call: call.id, attempts: call.attempts + 1, error: failure.error, outcome }, context.now);
}

/** Goes on compensating as far as it can without waiting; `scope` as in nextUndo. Resolves whether nothing is left to compensate. */
export async function advanceCompensation(
  run: Run,
  context: DecisionContext,
  scope: 'all' | 'abandoned',
): Promise<boolean> {
  while (run.state.stuck === null && run.mismatch === null) {
    const move = nextCompensation(run.state, (name) => run.step(name), scope);
    switch (move.kind) {
      case 'finished':
        return true;
      case 'under way':
        askForChild(run, move.call);
        return false;
      case 'settle':
        if (!settleWhatCan(run, move.calls, context)) return false;
        break;
      case 'verify':
        if ((move.call.asked.againAt ?? 0) > context.now) return false;
        move.call.asked.againAt = null;
        if (!run.effects.some((effect) => effect.kind === 'verify') && !run.inFlight.has(compensationId(move.call))) {
          run.effects.push({ kind: 'verify', call: move.call });
        }
        return false;
      case 'in doubt':
        run.recordStuck('in doubt', move.call, move.call.error ?? NOBODY_KNOWS, context.now);
        return false;
      case 'pivoted':
        run.recordStuck('forward', move.call, pivotHappened(move.call), context.now);
        return false;
      case 'undefined':
        run.setMismatch({ why: 'undefined step', call: move.call, error: undefinedStep(run, move.call) });
        return false;
      case 'compensate':
        if (!(await compensate(run, move.call, move.round, context))) return false;
        break;
    }
  }
  return false;
}

/** Attempts under way are waited for; everything else that is open is in doubt. Returns whether anything changed. */
function settleWhatCan(run: Run, calls: readonly CallState[], context: DecisionContext): boolean {
  let changed = false;
  for (const call of calls) {
    // Under way, or over and not yet taken in.
    if (run.inFlight.has(call.id) || hasEnded(run, call)) continue;
    // A transaction that is not committed has not happened; of everything else that was begun nobody knows.
    const doubt = call.kind !== 'transaction';
    const error =
      call.error ?? recordError(new BeingCompensated('The run was compensated before the outcome was known.'));
    endCall(run, call, { error, doubt }, context);
    changed = true;
  }
  return changed;
}

/** Returns whether it is over at once. */
export async function compensate(run: Run, call: CallState, round: number, context: DecisionContext): Promise<boolean> {
  const step = run.step(call.step);
  if (step === undefined) return false;
  run.record({ t: 'compensating', call: call.id, round }, context.now);
  if (step.kind === 'step' || step.kind === 'transaction') {
    run.effects.push({ kind: 'compensate', call });
    return false;
  }
  if (step.kind === 'child') {
    if (call.child !== null) run.post(call.child, { kind: 'undo' });
    askForChild(run, call);
    return false;
  }
  let message: string | null;
  try {
    message = await prepareCompensation(run, step, call);
  } catch (error) {
    compensationFailed(
      run,
      call,
      { kind: 'failed', error: recordError(error), permanent: true, doubt: false },
      context,
    );
    return false;
  }
  if (message !== null) run.send(message);
  if (step.kind === 'command') {
    replyBy(run, call, context);
    return false;
  }
  run.record({ t: 'compensated', call: call.id }, context.now);
  return true;
}

/** A child is asked to compensate itself; that there is nobody to do it is not left unsaid (mismatches.ts). */
function askForChild(run: Run, call: CallState): void {
  const step = run.step(call.step);
  if (call.child === null || run.lookedAfter.has(call.id) || !hasOtherChild(call, step)) return;
  const offer = step?.kind === 'child' ? `${step.saga.name} version ${String(call.version)}` : '';
  const error = {
    name: 'HoldfastError',
    code: 'HF_SAGA_DEFINITION',
    message:
      `${run.saga.name}, ${call.id} is to be compensated: its child ${call.child} is of ${offer}, which no worker offers any more. ` +
      'Start a worker that has that version too, and the run goes on by itself; or compensate the child by hand and skip it.',
  };
  run.setMismatch({ why: 'undefined step', call, error, child: call.child });
}

/** Until when the reply to a compensation command is waited for. */
export function replyBy(run: Run, call: CallState, context: DecisionContext): void {
  const step = run.step(call.step);
  if (step?.kind === 'command' && call.compensation !== null)
    call.compensation.replyBy = Math.floor(context.now + step.compensation.timeoutMs);
}

/** A compensation failed: put off, or given up, and then the run is stuck. */
export function compensationFailed(
  run: Run,
  call: CallState,
  result: Extract<AttemptResult, { kind: 'failed' }>,
  context: DecisionContext,
): void {
  const step = run.step(call.step);
  if (step === undefined || call.compensation === null) return;
  const attempt = call.compensation.attempts + 1;
  const { error, permanent, uncounted } = result;
  if (result.unrecordable === true) return run.recordStuck('unrecordable', call, error, context.now);
  const decision = decideFailed(step.compensation.retry, call.compensation.spent, {
    attempts: call.compensation.attempts,
    since: call.compensation.startedAt,
    now: context.now,
    permanent,
    uncounted,
    random: context.random,
  });
  if (decision.kind === 'retry') {
    const { retryAt, note } = decision;
    run.record({ t: 'compensation failed', call: call.id, attempt, error, retryAt, ...note }, context.now);
    return;
  }
  run.record({ t: 'compensation failed', call: call.id, attempt, error }, context.now);
  if (decision.kind === 'kills workers') run.recordStuck('kills workers', call, KILLS_WORKERS, context.now);
  else run.recordStuck('compensation', call, error, context.now);
}

/** After anything that may bring the compensation on: goes on, and ends the run when nothing is left. */
export async function continueCompensating(run: Run, context: DecisionContext): Promise<void> {
  if (run.state.phase !== 'compensating' || !(await advanceCompensation(run, context, 'all'))) return;
  endCompensated(run, context);
}

/** The end of a run that is compensated; its parent is told. */
export function endCompensated(run: Run, context: DecisionContext): void {
  run.record({ t: 'undone' }, context.now);
  if (run.parent === null) return;
  run.post(run.parent.id, {
    kind: 'child',
    call: run.parent.call,
    outcome: 'compensated',
    ...(run.state.error === null ? {} : { error: run.state.error }),
  });
}

/** Completes a run whose code has returned and left no step open: at once, or when what it had given up is compensated. */
export function finishAbandoned(
  run: Run,
  context: DecisionContext,
  result: string | undefined,
): Promise<void> | undefined {
  if (!isAnythingAbandoned(run.state)) {
    complete(run, context, result);
    return undefined;
  }
  return advanceCompensation(run, context, 'abandoned').then((finished) => {
    if (finished) complete(run, context, result);
  });
}

/** A child is held until its parent lets it go. */
function complete(run: Run, context: DecisionContext, result: string | undefined): void {
  if (run.parent !== null && !run.state.held) {
    run.recordEnd('held', result, context.now);
    const output = result === undefined ? {} : { output: JSON.parse(result) as unknown };
    run.post(run.parent.id, { kind: 'child', call: run.parent.call, outcome: 'done', ...output });
    return;
  }
  run.recordEnd('completed', result, context.now);
  releaseChildren(run);
}

/** The children of a run that has completed may end. */
export function releaseChildren(run: Run): void {
  for (const call of run.state.calls.values()) {
    if (call.child !== null && call.outcome === 'done') run.post(call.child, { kind: 'release' });
  }
}

/** Distinguishes the compensation of a call from the call itself among what is in flight. */
export function compensationId(call: CallState): string {
  return `${call.id} compensate`;
}

const NOBODY_KNOWS: RecordedError = { name: 'Error', message: 'Nobody can say whether it happened.' };

function pivotHappened(call: CallState): RecordedError {
  return {
    name: 'HoldfastError',
    code: 'HF_SAGA_PIVOTED',
    message: `The pivot ${call.id} has happened, as it turned out while the run was being compensated. Skip it to compensate what came before it all the same.`,
  };
}

/** What would compensate the call is not declared here. */
export function undefinedStep(run: Run, call: CallState): RecordedError {
  const { saga } = run;
  const what =
    run.step(call.step)?.kind === call.kind
      ? `declares the ${call.kind} ${call.step} without what compensates it, which it had when ${call.id} was called`
      : `declares no ${call.kind} ${call.step} any more`;
  return {
    name: 'HoldfastError',
    code: 'HF_SAGA_DEFINITION',
    message:
      `${saga.name} version ${saga.version} ${what}, and ${call.id} is to be compensated. ` +
      'Deploy it with that and retry, or skip it.',
  };
}
