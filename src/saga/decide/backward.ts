/**
 * The way back: a run that is undone is driven by its journal and its declared steps alone. Also the end of a run that completes:
 * what it was told had failed, and yet may have happened, is undone first. Used by the engine, forward.ts and mail.ts.
 */
import { decideFailed, KILLS_WORKERS } from '../journal/budget.ts';
import { prepareCompensation } from '../protocol/commands.ts';
import type { RecordedError } from '../journal/events.ts';
import { recordError } from '../journal/recorded-error.ts';
import { refuse } from './too-late.ts';
import type { AttemptResult, Scene, UndoWish } from '../run/facts.ts';
import type { Run } from '../run/run.ts';
import { hasOtherChild } from '../journal/promises.ts';
import type { CallState } from '../journal/state.ts';
import type { RefusedAct } from '../journal/refused.ts';
import type { MailBody } from '../store/store.ts';
import { isAnythingAbandoned, nextUndo, wasBegun } from '../journal/undo.ts';

/** Why attempts of a run that is being undone are aborted. */
export class BeingUndone extends Error {
  override readonly name = 'BeingUndone';
}

/** Undoes the run, now or, while a pivot is in flight, once it is known whether it happened. */
export function requestUndo(run: Run, wish: UndoWish, scene: Scene): void {
  if (run.state.phase !== 'forward') {
    if (wish.mail !== null) run.takeIn(wish.mail);
    return;
  }
  if (run.wish !== null) {
    // Each of them is answered once that is known.
    run.wish = { ...wish, before: run.wish };
    return;
  }
  if (run.state.open.some((call) => call.pivot && mayBeHappening(run, call))) run.wish = wish;
  else beginUndo(run, wish, scene);
}

/** Whether nobody can say just now that the call has not happened, and will not. */
function mayBeHappening(run: Run, call: CallState): boolean {
  if (run.inFlight.has(call.id) || call.kind === 'command' || call.kind === 'child') return true;
  // It was under way when a worker was lost.
  if (hasEnded(run, call)) return true;
  if (isPivotAskedAfter(run) && run.state.stuck?.call === call.id) return true;
  return wasBegun(call) || run.inFlight.has(undoId(call));
}

/** Whether a person is asked if the pivot has happened: until that is known, nobody can say whether the run may be undone. */
export function isPivotAskedAfter({ state }: Run): boolean {
  if (state.stuck?.why !== 'code' || state.stuck.call === null) return state.stuck?.why === 'in doubt';
  const call = state.calls.get(state.stuck.call);
  return call?.pivot === true && call.kind === 'step';
}

/** Whether it is among what has happened and has not been taken in how an attempt of the call ended. */
export function hasEnded(run: Run, call: CallState): boolean {
  return run.facts.some((fact) => (fact.kind === 'attempt' || fact.kind === 'fallback') && fact.call === call);
}

/** The pivot that a wish has waited for has ended: done, and nothing is undone; or not, and everything is. */
export function wishGranted(run: Run, scene: Scene): void {
  const { wish } = run;
  if (wish === null) return;
  run.wish = null;
  if (!run.state.pivoted) return beginUndo(run, wish, scene);
  let failure: RecordedError | null = null;
  for (const each of wishesOf(wish)) {
    if (each.mail !== null) run.takeIn(each.mail);
    if (each.mail?.body.kind === 'undo') {
      if (run.parent !== null) run.post(run.parent.id, { kind: 'child', call: run.parent.call, outcome: 'refused' });
    } else if (each.reason === 'failed') failure = each.error ?? { name: 'Error', message: 'The run failed.' };
    else if (each.mail?.body.kind === 'cancel') refuse(run, cancelOf(each.mail.body), scene);
    else refuse(run, { what: 'deadline' }, scene);
  }
  if (failure !== null) run.recordStuck('forward', null, failure, scene.now);
}

/** A wish and those that wait with it, oldest first. */
export function wishesOf(last: UndoWish | null): readonly UndoWish[] {
  const wishes: UndoWish[] = [];
  for (let wish = last; wish !== null; wish = wish.before ?? null) wishes.unshift(wish);
  return wishes;
}

/** A cancellation, as it is recorded when it comes too late. */
export function cancelOf({ reason, actor }: Extract<MailBody, { kind: 'cancel' }>): RefusedAct {
  return {
    what: 'cancel',
    ...(reason === undefined ? {} : { reason }),
    ...(actor === undefined ? {} : { actor }),
  };
}

function beginUndo(run: Run, wish: UndoWish, scene: Scene): void {
  const wishes = wishesOf(wish);
  for (const { mail } of wishes) if (mail !== null) run.takeIn(mail);
  // The first one is the reason, unless a parent waits for an answer.
  const { reason, error, actor } = wishes.find(({ mail }) => mail?.body.kind === 'undo') ?? wishes[0] ?? wish;
  // A child that was done and held, or a run that was stuck on its way forward, is taken back like any other.
  run.record(
    { t: 'undoing', reason, ...(error === undefined ? {} : { error }), ...(actor === undefined ? {} : { actor }) },
    scene.now,
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
      { error: recordError(new BeingUndone('The run was undone before this began.')), doubt: false },
      scene,
    );
  }
  for (const abort of run.inFlight.values()) abort(new BeingUndone('The run is being undone.'));
}

/** How an attempt ended that was under way when the undoing began. */
export function siblingEnded(run: Run, call: CallState, result: AttemptResult, scene: Scene): void {
  if (call.outcome !== 'open' || call.kind === 'wait') return;
  if (result.kind === 'done') run.recordDone(call, result.output, scene.now);
  else endCall(run, call, { error: result.error, doubt: result.doubt || wasBegun(call) }, scene);
}

function endCall(run: Run, call: CallState, failure: { error: RecordedError; doubt: boolean }, scene: Scene): void {
  const outcome = failure.doubt ? 'unknown' : 'definite';
  run.record({ t: 'failed', call: call.id, attempts: call.attempts + 1, error: failure.error, outcome }, scene.now);
}

/** Goes on undoing as far as it can without waiting; `scope` as in nextUndo. Resolves whether nothing is left to undo. */
export async function advanceUndo(run: Run, scene: Scene, scope: 'all' | 'abandoned'): Promise<boolean> {
  while (run.state.stuck === null && run.misfit === null) {
    const move = nextUndo(run.state, (name) => run.step(name), scope);
    switch (move.kind) {
      case 'finished':
        return true;
      case 'under way':
        askForChild(run, move.call);
        return false;
      case 'settle':
        if (!settleWhatCan(run, move.calls, scene)) return false;
        break;
      case 'verify':
        if ((move.call.asked.againAt ?? 0) > scene.now) return false;
        move.call.asked.againAt = null;
        if (!run.effects.some((effect) => effect.kind === 'verify') && !run.inFlight.has(undoId(move.call))) {
          run.effects.push({ kind: 'verify', call: move.call });
        }
        return false;
      case 'in doubt':
        run.recordStuck('in doubt', move.call, move.call.error ?? NOBODY_KNOWS, scene.now);
        return false;
      case 'pivoted':
        run.recordStuck('forward', move.call, pivotHappened(move.call), scene.now);
        return false;
      case 'undefined':
        run.doesNotFit({ why: 'undefined step', call: move.call, error: undefinedStep(run, move.call) });
        return false;
      case 'compensate':
        if (!(await compensate(run, move.call, move.round, scene))) return false;
        break;
    }
  }
  return false;
}

/** Attempts under way are waited for; everything else that is open is in doubt. Returns whether anything changed. */
function settleWhatCan(run: Run, calls: readonly CallState[], scene: Scene): boolean {
  let changed = false;
  for (const call of calls) {
    // Under way, or over and not yet taken in.
    if (run.inFlight.has(call.id) || hasEnded(run, call)) continue;
    // A transaction that is not committed has not happened; of everything else that was begun nobody knows.
    const doubt = call.kind !== 'transaction';
    const error = call.error ?? recordError(new BeingUndone('The run was undone before the outcome was known.'));
    endCall(run, call, { error, doubt }, scene);
    changed = true;
  }
  return changed;
}

/** Returns whether it is over at once. */
export async function compensate(run: Run, call: CallState, round: number, scene: Scene): Promise<boolean> {
  const step = run.step(call.step);
  if (step === undefined) return false;
  run.record({ t: 'compensating', call: call.id, round }, scene.now);
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
    compensationFailed(run, call, { kind: 'failed', error: recordError(error), permanent: true, doubt: false }, scene);
    return false;
  }
  if (message !== null) run.send(message);
  if (step.kind === 'command') {
    replyBy(run, call, scene);
    return false;
  }
  run.record({ t: 'compensated', call: call.id }, scene.now);
  return true;
}

/** A child is asked to undo itself; that there is nobody to do it is not left unsaid (misfits.ts). */
function askForChild(run: Run, call: CallState): void {
  const step = run.step(call.step);
  if (call.child === null || run.lookedAfter.has(call.id) || !hasOtherChild(call, step)) return;
  const offer = step?.kind === 'child' ? `${step.saga.name} version ${String(call.version)}` : '';
  const error = {
    name: 'HoldfastError',
    code: 'HF_SAGA_DEFINITION',
    message:
      `${run.saga.name}, ${call.id} is to be undone: its child ${call.child} is of ${offer}, which no worker offers any more. ` +
      'Start a worker that has that version too, and the run goes on by itself; or undo the child by hand and skip it.',
  };
  run.doesNotFit({ why: 'undefined step', call, error, child: call.child });
}

/** Until when the reply to a compensating command is waited for. */
export function replyBy(run: Run, call: CallState, scene: Scene): void {
  const step = run.step(call.step);
  if (step?.kind === 'command' && call.undo !== null)
    call.undo.replyBy = Math.floor(scene.now + step.compensation.timeoutMs);
}

/** A compensation failed: put off, or given up, and then the run is stuck. */
export function compensationFailed(
  run: Run,
  call: CallState,
  result: Extract<AttemptResult, { kind: 'failed' }>,
  scene: Scene,
): void {
  const step = run.step(call.step);
  if (step === undefined || call.undo === null) return;
  const attempt = call.undo.attempts + 1;
  const { error, permanent, uncounted } = result;
  if (result.unrecordable === true) return run.recordStuck('unrecordable', call, error, scene.now);
  const decision = decideFailed(step.compensation.retry, call.undo.spent, {
    attempts: call.undo.attempts,
    since: call.undo.startedAt,
    now: scene.now,
    permanent,
    uncounted,
    random: scene.random,
  });
  if (decision.kind === 'retry') {
    const { retryAt, note } = decision;
    run.record({ t: 'compensation failed', call: call.id, attempt, error, retryAt, ...note }, scene.now);
    return;
  }
  run.record({ t: 'compensation failed', call: call.id, attempt, error }, scene.now);
  if (decision.kind === 'kills workers') run.recordStuck('kills workers', call, KILLS_WORKERS, scene.now);
  else run.recordStuck('compensation', call, error, scene.now);
}

/** After anything that may bring the undoing on: goes on, and ends the run when nothing is left. */
export async function goOnUndoing(run: Run, scene: Scene): Promise<void> {
  if (run.state.phase !== 'undoing' || !(await advanceUndo(run, scene, 'all'))) return;
  endUndone(run, scene);
}

/** The end of a run that is undone; its parent is told. */
export function endUndone(run: Run, scene: Scene): void {
  run.record({ t: 'undone' }, scene.now);
  if (run.parent === null) return;
  run.post(run.parent.id, {
    kind: 'child',
    call: run.parent.call,
    outcome: 'compensated',
    ...(run.state.error === null ? {} : { error: run.state.error }),
  });
}

/** Completes a run whose code has returned and left no step open: at once, or when what it had given up is undone. */
export function finishAbandoned(run: Run, scene: Scene, result: string | undefined): Promise<void> | undefined {
  if (!isAnythingAbandoned(run.state)) {
    complete(run, scene, result);
    return undefined;
  }
  return advanceUndo(run, scene, 'abandoned').then((finished) => {
    if (finished) complete(run, scene, result);
  });
}

/** A child is held until its parent lets it go. */
function complete(run: Run, scene: Scene, result: string | undefined): void {
  if (run.parent !== null && !run.state.held) {
    run.recordEnd('held', result, scene.now);
    const output = result === undefined ? {} : { output: JSON.parse(result) as unknown };
    run.post(run.parent.id, { kind: 'child', call: run.parent.call, outcome: 'done', ...output });
    return;
  }
  run.recordEnd('completed', result, scene.now);
  releaseChildren(run);
}

/** The children of a run that has completed may end. */
export function releaseChildren(run: Run): void {
  for (const call of run.state.calls.values()) {
    if (call.child !== null && call.outcome === 'done') run.post(call.child, { kind: 'release' });
  }
}

/** Distinguishes the compensation of a call from the call itself among what is in flight. */
export function undoId(call: CallState): string {
  return `${call.id} undo`;
}

const NOBODY_KNOWS: RecordedError = { name: 'Error', message: 'Nobody can say whether it happened.' };

function pivotHappened(call: CallState): RecordedError {
  return {
    name: 'HoldfastError',
    code: 'HF_SAGA_PIVOTED',
    message: `The pivot ${call.id} has happened, as it turned out while the run was being undone. Skip it to undo what came before it all the same.`,
  };
}

/** What would undo the call is not declared here. */
export function undefinedStep(run: Run, call: CallState): RecordedError {
  const { saga } = run;
  const what =
    run.step(call.step)?.kind === call.kind
      ? `declares the ${call.kind} ${call.step} without what undoes it, which it had when ${call.id} was called`
      : `declares no ${call.kind} ${call.step} any more`;
  return {
    name: 'HoldfastError',
    code: 'HF_SAGA_DEFINITION',
    message:
      `${saga.name} version ${saga.version} ${what}, and ${call.id} is to be undone. ` +
      'Deploy it with that and retry, or skip it.',
  };
}
