/**
 * One thing that happened to a run, taken in: to the path it belongs to, forward or back. What has to be waited for (a schema, a message)
 * is made ready before; the decision itself waits for nothing.
 */
import type { CallState } from '../journal/state.ts';
import type { DecisionContext, RunEvent } from '../run/run-events.ts';
import { HandedReply } from '../run/handed-reply.ts';
import type { Run } from '../run/run.ts';
import { compensationEnded } from './compensation-outcome.ts';
import { firstDueItem, prepareDueItem, needsPreparing, nextDue, takeDue, type DueItem } from './due.ts';
import { prepareForMessage, takeRunMessage, type PreparedForMessage } from './inbound.ts';
import type { Prepared } from './prepared.ts';
import { attemptEnded, fallbackEnded, transacted } from './outcomes.ts';
import { attemptEndedLate } from './request-compensation.ts';
import { takeAssigned } from './signals.ts';
import { pivotVerified, takeVerification } from './verify-result.ts';

type Message = Extract<RunEvent, { kind: 'message' }>;

/** What was made ready before an event is taken in. */
type Ready =
  | { readonly kind: 'due'; readonly item: DueItem; readonly message: Prepared<string | null> }
  | { readonly kind: 'message'; readonly prepared: PreparedForMessage };

/** Whether the code was told something. A promise only where anything has to be made ready: the usual event pays for none. */
export function takeRunEvent(run: Run, runEvent: RunEvent, context: DecisionContext): boolean | Promise<boolean> {
  const making = prepareAhead(run, runEvent, context);
  if (making === undefined) return decide(run, runEvent, null, context);
  return making.then((ready) => decide(run, runEvent, ready, context));
}

function prepareAhead(run: Run, runEvent: RunEvent, context: DecisionContext): Promise<Ready> | undefined {
  if (runEvent.kind === 'due') return prepareItem(run, context);
  if (runEvent.kind !== 'message') return undefined;
  const first = timerBefore(run, runEvent, context);
  if (first !== null) return first.waits ? undefined : prepareItem(run, first.context);
  return prepareForMessage(run, runEvent.runMessage, context)?.then((prepared) => ({ kind: 'message', prepared }));
}

function prepareItem(run: Run, context: DecisionContext): Promise<Ready> | undefined {
  const item = firstDueItem(run, context);
  if (item === null) return undefined;
  return prepareDueItem(run, item)?.then((message) => ({ kind: 'due', item, message }));
}

function decide(run: Run, runEvent: RunEvent, ready: Ready | null, context: DecisionContext): boolean {
  const forward = run.state.phase === 'forward';
  switch (runEvent.kind) {
    case 'begun':
      return true;
    case 'message':
      return takeMessage(run, runEvent, ready, context);
    case 'due':
      return takeTimer(run, runEvent, ready, context);
    case 'try':
      announce(run, runEvent.call, context);
      return false;
    case 'attempt':
      if (forward) return attemptEnded(run, runEvent.call, runEvent.result, context);
      attemptEndedLate(run, runEvent.call, runEvent.result, context);
      return false;
    case 'sent':
      if (forward) return attemptEnded(run, runEvent.call, SENT, context);
      attemptEndedLate(run, runEvent.call, SENT, context);
      return false;
    case 'signalled':
      return forward && takeAssigned(run, runEvent.call, context);
    case 'fallback':
      if (forward) return fallbackEnded(run, runEvent, context);
      attemptEndedLate(run, runEvent.call, runEvent.failure, context);
      return false;
    case 'transacted':
      return forward && runEvent.of === 'done' && transacted(run, runEvent.call, runEvent.output, context);
    case 'compensation':
      compensationEnded(run, runEvent.call, runEvent.result, context);
      return false;
    case 'verified':
      if (runEvent.call.outcome === 'open') return pivotVerified(run, runEvent.call, runEvent.result, context);
      takeVerification(run, runEvent.call, runEvent.result, context);
      return false;
  }
}

/** The message is written with its call. */
const SENT = { kind: 'done', output: undefined } as const;

/** A timer that was due before a message came: it is told before, as it would have been had anybody looked. Null: there is none. */
function timerBefore(
  run: Run,
  { runMessage }: Message,
  context: DecisionContext,
): { readonly waits: boolean; readonly context: DecisionContext } | null {
  // One that was handed in tells nothing of what else has come: it goes by the store then (inbound.ts).
  if (runMessage instanceof HandedReply) return null;
  const due = nextDue(run);
  if (due >= runMessage.at) return null;
  // What is told in a row is told at its time, which the timer must not be ahead of.
  const waits = run.rowIsOpen && due > run.rowAt;
  if (!waits) run.messagesKnownAt = Math.max(run.messagesKnownAt, runMessage.at - 1);
  return { waits, context: { ...context, now: Math.max(context.now, due) } };
}

function takeMessage(run: Run, runEvent: Message, ready: Ready | null, context: DecisionContext): boolean {
  if (comesBeforeTheEnd(run, runEvent)) {
    run.runEvents.unshift(runEvent);
    run.closeRow();
    return false;
  }
  const first = timerBefore(run, runEvent, context);
  if (first === null) {
    if (ready?.kind !== 'due') return takeRunMessage(run, runEvent.runMessage, ready?.prepared ?? null, context);
    // The timer that was due before it is no longer: it is looked at anew.
    run.runEvents.unshift(runEvent);
    return false;
  }
  run.runEvents.unshift(runEvent);
  if (first.waits) run.closeRow();
  else return takeFirst(run, ready, first.context)?.told ?? false;
  return false;
}

/**
 * A cancellation that the store has let in, while the end of the run waits to be committed. It is not too late: it stays where it is, so that
 * the store refuses that commit, and the run is taken up anew to be compensated.
 */
function comesBeforeTheEnd(run: Run, { runMessage }: Message): boolean {
  return runMessage.body.kind === 'cancel' && run.isEndUnwritten;
}

function takeTimer(run: Run, runEvent: RunEvent, ready: Ready | null, context: DecisionContext): boolean {
  const taken = takeFirst(run, ready, context);
  // One after the other: the code may answer to each.
  if (taken !== null) run.runEvents.push(runEvent);
  return taken?.told ?? false;
}

/** Takes in the first thing that is due, or has it looked at anew when that is not what was made ready for. Null: nothing is due. */
function takeFirst(run: Run, ready: Ready | null, context: DecisionContext): { readonly told: boolean } | null {
  const item = firstDueItem(run, context);
  if (item === null) return null;
  const message = ready?.kind === 'due' && isSame(ready.item, item) ? ready.message : null;
  if (message === null && needsPreparing(run, item)) return { told: false };
  return { told: takeDue(run, item, message, context) };
}

function isSame(one: DueItem, other: DueItem): boolean {
  const call = 'call' in one ? one.call : null;
  return one.kind === other.kind && call === ('call' in other ? other.call : null);
}

/** That it is about to be made is durable before it begins. */
function announce(run: Run, call: CallState, context: DecisionContext): void {
  const compensating = call.compensation?.state === 'open';
  if (!compensating && (run.state.phase !== 'forward' || call.outcome !== 'open')) return;
  run.record({ t: 'trying', call: call.id }, context.now);
  run.intents.push({ kind: compensating ? 'compensate' : 'attempt', call });
}
