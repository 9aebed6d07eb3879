/** The fold of what is recorded of compensations, and of what people decided about a run that is stuck. */
import { newSpent, spend } from '../journal/budget.ts';
import { newCompensation } from '../journal/compensation-state.ts';
import { isOfCompensating, WHOLE_RUN, type CallReissue } from '../journal/events.ts';
import type { RunState } from '../journal/state.ts';
import { withCall, withCompensation, type Folds } from './folds.ts';
import { attemptAgain, reopen } from './retried.ts';

type CompensationEvents = 'compensating' | 'compensation failed' | 'compensated' | 'retried' | 'skipped' | 'resolved';

export const COMPENSATION_FOLDS: Folds<CompensationEvents> = {
  compensating: (state, event, at) =>
    withCall(state, event.call, (call) => {
      call.compensation = newCompensation(event.round, at);
    }),
  'compensation failed': (state, event) =>
    withCompensation(state, event.call, (compensation) => {
      compensation.attempts = event.attempt;
      compensation.retryAt = event.retryAt ?? null;
      spend(compensation.spent, event);
    }),
  compensated(state, event, at) {
    if (isOfCompensating(state.stuck?.why) && state.stuck?.call === event.call) state.stuck = null;
    endCompensation(state, event.call, at);
  },
  retried: (state, event, at) => applyRetried(state, event.anew ?? [], at),
  skipped(state, event, at) {
    state.stuck = null;
    state.skipped.push(event.call);
    endCompensation(state, event.call, at);
  },
  resolved(state, event, at) {
    state.stuck = null;
    if (event.call !== WHOLE_RUN && event.as === 'compensated') endCompensation(state, event.call, at);
  },
};

function applyRetried(state: RunState, anew: readonly CallReissue[], at: number): void {
  const { stuck } = state;
  state.stuck = null;
  for (const each of anew) withCall(state, each.call, (call) => reopen(call, each, at));
  if (anew.length > 0) {
    state.open.splice(0, Infinity, ...[...state.calls.values()].filter(({ outcome }) => outcome === 'open'));
    state.failedSince = state.failedSince.filter((id) => !anew.some(({ call }) => call === id));
  }
  if (stuck?.call === null || stuck === null) return;
  withCall(state, stuck.call, (call) => {
    if (call.compensation?.state === 'open') {
      Object.assign(call.compensation, { attempts: 0, startedAt: at, retryAt: null, spent: newSpent(at) });
    } else if (call.outcome === 'open') attemptAgain(call, stuck.why, at);
  });
}

function endCompensation(state: RunState, id: string, at: number): void {
  withCall(state, id, (call) => {
    call.compensation ??= newCompensation(1, at);
    call.compensation.state = 'done';
    call.compensation.retryAt = null;
  });
}
