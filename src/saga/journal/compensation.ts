/**
 * What is to be compensated next. The decision alone, pure; compensate.ts carries it out. Nothing but the journal and the declared steps is
 * asked: the run's code may have changed, or be gone.
 */
import { hasEffect } from '../definition/kind-names.ts';
import { canCompensate, type StepDefinition } from '../definition/steps.ts';
import { breaksContract } from './call-contract.ts';
import { knownAsDone, mayHaveHappened, type CallState, type RunState } from './state.ts';

export type CompensationMove =
  /** Calls that were in flight must come to an end first. */
  | { readonly kind: 'settle'; readonly calls: readonly CallState[] }
  | { readonly kind: 'verify'; readonly call: CallState }
  | { readonly kind: 'compensate'; readonly call: CallState; readonly round: number }
  /** A compensation is under way, or put off until `call.compensation.retryAt`. */
  | { readonly kind: 'under way'; readonly call: CallState }
  /** The step that would have to be compensated is not declared any more. */
  | { readonly kind: 'undefined'; readonly call: CallState }
  /** A pivot that cannot be compensated, and nobody can say whether it happened. */
  | { readonly kind: 'in doubt'; readonly call: CallState }
  /** It turned out that such a pivot has happened: what came before it must not be compensated behind its back. */
  | { readonly kind: 'pivoted'; readonly call: CallState }
  | { readonly kind: 'finished' };

/**
 * Reverse order of start, one after the other.
 * @param scope `all` when the run is being compensated; `abandoned` when it is about to complete: then only what the run was told had
 * failed, and yet may have happened, is compensated.
 */
export function nextCompensation(
  state: RunState,
  stepOf: (name: string) => StepDefinition | undefined,
  scope: 'all' | 'abandoned' = 'all',
): CompensationMove {
  const unsettled = state.open.filter(({ kind }) => hasEffect(kind));
  if (unsettled.length > 0) return { kind: 'settle', calls: unsettled };
  const calls = [...state.calls.values()];
  // Also before one that was started later, when a late reply has made that necessary meanwhile.
  const open = calls.find((call) => call.compensation?.state === 'open');
  if (open !== undefined) {
    const step = stepOf(open.step);
    const canGoOn = step !== undefined && step.kind === open.kind && canCompensate(step);
    return canGoOn ? { kind: 'under way', call: open } : { kind: 'undefined', call: open };
  }
  for (let index = calls.length - 1; index >= 0; index -= 1) {
    const call = calls[index];
    if (call === undefined || !hasEffect(call.kind)) continue;
    if (call.compensation?.state === 'done' && !call.compensation.again) continue;
    if (!mayHaveHappened(call) || (scope === 'abandoned' && !call.doubt && !call.givenUp)) continue;
    const step = stepOf(call.step);
    if (step === undefined || step.kind !== call.kind || breaksContract(call, step)) return { kind: 'undefined', call };
    if (!canCompensate(step)) {
      // Behind a pivot that has happened there is no way back, and whether it has nobody knows.
      if (call.pivot && call.doubt && !canVerify(call, step)) return { kind: 'in doubt', call };
      if (call.pivot && scope === 'all' && knownAsDone(call)) return { kind: 'pivoted', call };
      if (!call.pivot || !call.doubt) continue;
    }
    if (call.doubt && canVerify(call, step)) return { kind: 'verify', call };
    return { kind: 'compensate', call, round: (call.compensation?.round ?? 0) + 1 };
  }
  return { kind: 'finished' };
}

/** Whether nextCompensation may find something within the scope `abandoned`. */
export function isAnythingAbandoned(state: RunState): boolean {
  for (const call of state.calls.values()) if (call.doubt || call.givenUp || call.compensation !== null) return true;
  return false;
}

function canVerify(call: CallState, step: StepDefinition): boolean {
  return step.verify !== null && call.compensation === null && !call.unverifiable;
}
