/**
 * One thing that happened to a run, taken in: to the path it belongs to, forward or back.
 */
import { compensationFailed, continueCompensating, siblingEnded } from './compensate.ts';
import { nextDue, takeDue } from './due.ts';
import { attemptEnded, fallbackEnded, transacted, tryComplete } from './forward.ts';
import { takeRunMessage } from './inbound.ts';
import type { RunEvent, DecisionContext } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import type { CallState } from '../journal/state.ts';
import { pivotVerified, takeVerdict } from './verify-result.ts';

/** Whether the code was told something; a promise where a schema or a message has to be waited for. */
export function takeRunEvent(run: Run, runEvent: RunEvent, context: DecisionContext): boolean | Promise<boolean> {
  switch (runEvent.kind) {
    case 'begun':
      return true;
    case 'message': {
      const due = nextDue(run);
      if (due < runEvent.runMessage.at) return timerFirst(run, runEvent, due, context);
      return takeRunMessage(run, runEvent.runMessage, context).then(async (spoken) => {
        // It may have answered what a run that is about to complete had taken back.
        if (!spoken && run.ending !== null) await tryComplete(run, context);
        return spoken;
      });
    }
    case 'due':
      return takeDue(run, context).then(({ told, more }) => {
        // One after the other: the code may answer to each.
        if (more) run.runEvents.push({ kind: 'due' });
        return told;
      });
    case 'try':
      return announce(run, runEvent.call, context);
    case 'attempt':
      if (run.state.phase === 'forward') return attemptEnded(run, runEvent.call, runEvent.result, context);
      siblingEnded(run, runEvent.call, runEvent.result, context);
      return false;
    case 'fallback':
      if (run.state.phase === 'forward')
        return fallbackEnded(run, runEvent.call, runEvent.failure, runEvent.result, context);
      siblingEnded(run, runEvent.call, runEvent.failure, context);
      return false;
    case 'transacted':
      if (runEvent.of === 'done')
        return run.state.phase === 'forward' && transacted(run, runEvent.call, runEvent.output, context);
      return goOn(run, context);
    case 'compensation':
      if (runEvent.result.kind === 'done') run.record({ t: 'compensated', call: runEvent.call.id }, context.now);
      else compensationFailed(run, runEvent.call, runEvent.result, context);
      return goOn(run, context);
    case 'verified':
      if (runEvent.call.outcome === 'open') return pivotVerified(run, runEvent.call, runEvent.result, context);
      takeVerdict(run, runEvent.call, runEvent.result, context);
      return goOn(run, context);
  }
}

/** A timer was due before this came: it is told before, as it would have been had anybody looked. */
function timerFirst(
  run: Run,
  runEvent: Extract<RunEvent, { kind: 'message' }>,
  due: number,
  context: DecisionContext,
): boolean | Promise<boolean> {
  run.runEvents.unshift(runEvent);
  // What is told in a row is told at its time, which the timer must not be ahead of.
  if (run.rowIsOpen && due > run.rowAt) {
    run.closeRow();
    return false;
  }
  run.messagesKnownAt = Math.max(run.messagesKnownAt, runEvent.runMessage.at - 1);
  return takeDue(run, { ...context, now: Math.max(context.now, due) }).then(({ told }) => told);
}

/** That it is about to be made is durable before it begins. */
function announce(run: Run, call: CallState, context: DecisionContext): false {
  const compensating = call.compensation?.state === 'open';
  if (!compensating && (run.state.phase !== 'forward' || call.outcome !== 'open')) return false;
  run.record({ t: 'trying', call: call.id }, context.now);
  run.effects.push({ kind: compensating ? 'compensate' : 'attempt', call });
  return false;
}

/** Compensating goes on; or the completion that waited for what was given up to be compensated. */
async function goOn(run: Run, context: DecisionContext): Promise<boolean> {
  if (run.state.phase === 'compensating') await continueCompensating(run, context);
  else await tryComplete(run, context);
  return false;
}
