/**
 * Messages that want a run compensated: a cancellation, or its parent taking it back. The store refuses the commit by which a run ends or
 * begins its pivot while one of them has not been taken in, so they are taken in before such a commit is made, whatever stands before them:
 * it would be refused for ever.
 */
import { isRevocation, type CompensationRequest, type DecisionContext } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import type { RunMessage, RunMessageBody } from '../store/store.ts';
import { compensateAgain } from './compensate.ts';
import { refuse } from './refusal.ts';
import { cancelOf, isPivotInDoubt, requestCompensation } from './request-compensation.ts';

type Cancel = Extract<RunMessageBody, { kind: 'cancel' }>;

/** Takes in all that have come, before anything else that has. */
export function takeRevocations(run: Run, context: DecisionContext): void {
  for (let place = run.runEvents.findIndex(isRevocation); place >= 0; place = run.runEvents.findIndex(isRevocation)) {
    const [runEvent] = run.runEvents.splice(place, 1);
    if (runEvent?.kind === 'message') takeRevocation(run, runEvent.runMessage, context);
  }
}

/** Any other message changes nothing. */
export function takeRevocation(run: Run, runMessage: RunMessage, context: DecisionContext): void {
  const { body } = runMessage;
  if (body.kind === 'cancel') takeCancel(run, runMessage, body, context);
  else if (body.kind === 'undo') takeBack(run, runMessage, context);
}

function takeCancel(run: Run, runMessage: RunMessage, body: Cancel, context: DecisionContext): void {
  const { reason, actor } = body;
  // It is being compensated, or is compensated: that is what was wanted.
  if (run.state.phase === 'compensating' || run.state.phase === 'compensated') return run.takeIn(runMessage);
  // Behind the end or the pivot it comes too late; what is done and waits for its parent is compensated with that one. While nobody knows
  // whether the pivot has happened, nobody can say whether the run may be compensated: that is resolved first.
  if (run.state.phase === 'completed' || run.state.held || run.state.pivoted || isPivotInDoubt(run)) {
    run.takeIn(runMessage);
    return refuse(run, cancelOf(body), context);
  }
  const error = {
    name: 'HoldfastError',
    code: 'HF_SAGA_UNDONE',
    message: reason === undefined ? 'Cancelled.' : `Cancelled: ${reason}`,
  };
  turnBack(run, { reason: 'cancelled', error, actor, runMessage }, context);
}

/** A parent takes its child back. */
function takeBack(run: Run, runMessage: RunMessage, context: DecisionContext): void {
  const { state, parent } = run;
  if (state.phase === 'forward' && !state.pivoted) {
    const error = { name: 'HoldfastError', code: 'HF_SAGA_UNDONE', message: 'The parent is being compensated.' };
    turnBack(run, { reason: 'cancelled', error, actor: undefined, runMessage }, context);
    return;
  }
  run.takeIn(runMessage);
  if (parent === null || state.phase === 'compensating') return;
  const outcome = state.phase === 'compensated' ? ('compensated' as const) : ('refused' as const);
  run.post(parent.id, { kind: 'child', call: parent.call, outcome });
}

/**
 * A run that was about to complete may be stuck at the compensation of what it had given up. That is where its way back begins, and nobody
 * is asked about it any more: it is attempted anew, or the run would wait for it for ever.
 */
function turnBack(run: Run, request: CompensationRequest, context: DecisionContext): void {
  const { stuck } = run.state;
  requestCompensation(run, request, context);
  if (stuck !== null && run.state.stuck === null) compensateAgain(run, stuck.call, context);
}
